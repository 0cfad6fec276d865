import threading

import numpy as np
import pyarrow as pa
import pytest

from flan_jax.data.batch_plan import MixturePlan, TaskLengths
from flan_jax.data.loader import DataStalled, Loader, prefetch
from flan_jax.data.token_store import TokenStore, schema, token_column, write_store

LENGTHS = {"inputs": 24, "targets": 12}
EOS = 1
VOCABULARY = 100


@pytest.fixture
def make_store(tmp_path):
    """make_store(name, rows, seed): a real training store of random tokens."""

    def make(name, rows, seed):
        rng = np.random.default_rng(seed)
        columns = schema("train", VOCABULARY)
        inputs, targets = (
            token_column(
                [
                    rng.integers(3, VOCABULARY, rng.integers(1, longest)).tolist()
                    for _ in range(rows)
                ],
                VOCABULARY,
            )
            for longest in (30, 9)
        )
        arrays = [
            inputs,
            targets,
            pa.array(range(rows), pa.int32()),
            pa.array([0] * rows, pa.int16()),
        ]
        write_store(
            tmp_path / name,
            [pa.RecordBatch.from_arrays(arrays, schema=columns)],
            schema=columns,
            meta={},
        )
        return TokenStore.open(tmp_path / name)

    return make


@pytest.fixture
def make_loader(make_store):
    def make(architecture):
        stores = {"a": make_store("a", 30, 0), "b": make_store("b", 200, 1)}
        tasks = {
            name: TaskLengths(store.inputs.lengths, store.targets.lengths)
            for name, store in stores.items()
        }
        rates = {name: len(store) for name, store in stores.items()}
        plan = MixturePlan(
            tasks, rates, architecture=architecture, batch_size=4, lengths=LENGTHS, seed=0
        )
        return Loader(plan, stores, EOS), stores

    return make


def trimmed(tokens, length):
    return [*tokens[: length - 1].tolist(), EOS]


def seqio_rows(architecture, examples):
    """The batch that seqio's own feature converter packs of the same examples, in their order, in one row."""
    tf, seqio = pytest.importorskip("tensorflow"), pytest.importorskip("seqio")
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples),
        output_signature={name: tf.TensorSpec([None], tf.int32) for name in ("inputs", "targets")},
    )
    if architecture == "encoder_decoder":
        converter, lengths = seqio.EncDecFeatureConverter(pack=True), LENGTHS
    else:
        converter = seqio.PrefixLMFeatureConverter(pack=True)
        lengths = {"inputs": LENGTHS["inputs"], "targets": LENGTHS["targets"]}
    return list(converter(dataset, task_feature_lengths=lengths).as_numpy_iterator())


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_a_row_is_what_seqio_packs_of_the_same_examples(architecture, make_loader):
    loader, stores = make_loader(architecture)
    batch, rows = loader.batch(3), loader.plan.rows(3)
    row = max(range(len(rows)), key=lambda row: len(rows[row]))
    assert len(rows[row]) > 1
    examples = [
        {
            "inputs": trimmed(stores[ref.task].inputs.row(ref.index), LENGTHS["inputs"]),
            "targets": trimmed(stores[ref.task].targets.row(ref.index), LENGTHS["targets"]),
        }
        for ref in rows[row]
    ]
    theirs = seqio_rows(architecture, examples)
    assert len(theirs) == 1
    assert set(theirs[0]) == set(batch)
    for name, array in batch.items():
        np.testing.assert_array_equal(array[row], theirs[0][name], err_msg=name)


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_make_the_batch_together(architecture, hosts, make_loader):
    loader, _ = make_loader(architecture)
    share = 4 // hosts
    parts = [loader.batch(7, slice(host * share, (host + 1) * share)) for host in range(hosts)]
    for name, array in loader.batch(7).items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)


def test_prefetch_gives_all_steps_in_order_and_ends():
    assert list(prefetch(lambda step: step * 10, 3, 7)) == [(3, 30), (4, 40), (5, 50), (6, 60)]


def test_prefetch_raises_what_making_a_batch_raised():
    def make_batch(step):
        if step == 2:
            raise KeyError("no such row")
        return step

    with pytest.raises(KeyError, match="no such row"):
        list(prefetch(make_batch, 0, 5))


def test_prefetch_names_the_batch_that_does_not_come():
    stuck = threading.Event()
    batches = prefetch(lambda step: stuck.wait() if step == 4 else step, 3, 7, patience=0.2)
    assert next(batches) == (3, 3)
    with pytest.raises(DataStalled, match=r"batch 4 has not come for 0\.2 s"):
        next(batches)
    stuck.set()
