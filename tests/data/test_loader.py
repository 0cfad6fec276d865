import threading

import numpy as np
import pytest
from stores import write_segments

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.loader import DataStalled, Loader, fit_segments, prefetch
from flan_jax.data.mixture_data import task_lengths
from flan_jax.data.row_format import RowTokens
from flan_jax.data.token_store import TokenSegment, TokenStore

LENGTHS = {"inputs": 24, "targets": 12}
EOS = 1
VOCABULARY = 100
FLAN_ENDS = RowTokens(start=0, prompt_tail=(EOS,), answer_tail=(EOS,), stop_ids=(EOS,))
CHAT = [
    ([11, 12, EOS], False),
    ([21, EOS], False),
    ([31, 32, 33, EOS], True),
    ([41, 42, EOS], False),
    ([51, 52, EOS], True),
]
"""System, question, reply, question, reply."""


def open_store(folder, examples):
    return TokenStore.open(write_segments(folder, examples, vocab_size=VOCABULARY))


def make_loader(
    stores, architecture, *, lengths=LENGTHS, batch_size=4, packing=True, ends=FLAN_ENDS
):
    plan = MixturePlan(
        {name: task_lengths(store) for name, store in stores.items()},
        {name: len(store) for name, store in stores.items()},
        architecture=architecture,
        batch_size=batch_size,
        lengths=lengths,
        seed=0,
        packing=packing,
        has_start=ends.start is not None,
    )
    return Loader(plan, stores, ends)


def random_tokens(rng, longest):
    return [*rng.integers(3, VOCABULARY, rng.integers(1, longest)).tolist(), EOS]


@pytest.fixture
def stores(tmp_path):
    """Two tasks of random inputs and targets."""
    rng = np.random.default_rng(0)
    opened = {}
    for name, count in (("a", 30), ("b", 200)):
        examples = []
        for _ in range(count):
            inputs = (random_tokens(rng, 30), False)
            targets = (random_tokens(rng, 14), True)
            examples.append([inputs, targets])
        opened[name] = open_store(tmp_path / name, examples)
    return opened


def trimmed(tokens, length):
    return [*tokens[:-1][: length - 1].tolist(), EOS]


def seqio_rows(architecture, examples):
    """The batch that seqio's own feature converter packs of the same examples, in their order."""
    tf = pytest.importorskip("tensorflow")
    seqio = pytest.importorskip("seqio")
    tokens = tf.TensorSpec([None], tf.int32)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(examples), output_signature={"inputs": tokens, "targets": tokens}
    )
    if architecture == "encoder_decoder":
        converter = seqio.EncDecFeatureConverter(pack=True)
    else:
        converter = seqio.PrefixLMFeatureConverter(pack=True)
    return list(converter(dataset, task_feature_lengths=LENGTHS).as_numpy_iterator())


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_a_row_is_what_seqio_packs_of_the_same_examples(architecture, stores):
    loader = make_loader(stores, architecture)
    batch = loader.batch(3)
    rows = loader.plan.rows(3)
    row = max(range(len(rows)), key=lambda row: len(rows[row]))
    assert len(rows[row]) > 1
    examples = []
    for ref in rows[row]:
        inputs, targets = stores[ref.task].segments.example(ref.index)
        examples.append(
            {
                "inputs": trimmed(inputs.tokens, LENGTHS["inputs"]),
                "targets": trimmed(targets.tokens, LENGTHS["targets"]),
            }
        )
    (seqio_row,) = seqio_rows(architecture, examples)
    assert set(seqio_row) == set(batch)
    for name, array in batch.items():
        np.testing.assert_array_equal(array[row], seqio_row[name], err_msg=name)


def one_row(tmp_path, architecture, examples, lengths, ends=FLAN_ENDS):
    """The row of a batch that holds all `examples`, as lists."""
    store = open_store(tmp_path / "chat", examples)
    loader = make_loader(
        {"chat": store}, architecture, lengths=lengths, batch_size=1, ends=ends
    )
    batch = loader.batch(0)
    (refs,) = loader.plan.rows(0)
    count = len(examples)
    assert sorted(ref.index for ref in refs[:count]) == list(range(count))
    return {name: array[0].tolist() for name, array in batch.items()}


def test_a_conversation_in_a_decoder(tmp_path):
    row = one_row(tmp_path, "decoder", [CHAT], {"inputs": 13, "targets": 4})
    # fmt: off
    assert row == {
        "decoder_target_tokens":    [11, 12, 1, 21, 1, 31, 32, 33, 1, 41, 42, 1, 51, 52, 1, 0, 0],
        "decoder_input_tokens":     [0, 11, 12, 1, 21, 1, 31, 32, 33, 1, 41, 42, 1, 51, 52, 0, 0],
        "decoder_loss_weights":     [0,  0, 0,  0, 0,  1,  1,  1, 1,  0,  0, 0,  1,  1, 1,  0, 0],
        "decoder_causal_attention": [1,  1, 1,  1, 1,  1,  0,  0, 0,  0,  0, 0,  0,  0, 0,  0, 0],
        "decoder_positions":        [0,  1, 2,  3, 4,  5,  6,  7, 8,  9, 10, 11, 12, 13, 14, 0, 0],
        "decoder_segment_ids":      [1,  1, 1,  1, 1,  1,  1,  1, 1,  1,  1, 1,  1,  1, 1,  0, 0],
    }
    # fmt: on


def test_a_conversation_in_an_encoder_and_a_decoder(tmp_path):
    row = one_row(tmp_path, "encoder_decoder", [CHAT], {"inputs": 13, "targets": 4})
    # fmt: off
    assert row == {
        "encoder_input_tokens":  [11, 12, 1, 21, 1, 31, 32, 33, 1, 41, 42, 1, 0],
        "encoder_positions":     [0,  1, 2,  3, 4,  5,  6,  7, 8,  9, 10, 11, 0],
        "encoder_segment_ids":   [1,  1, 1,  1, 1,  1,  1,  1, 1,  1,  1, 1, 0],
        "decoder_target_tokens": [51, 52, 1, 0],
        "decoder_input_tokens":  [0, 51, 52, 0],
        "decoder_loss_weights":  [1,  1, 1, 0],
        "decoder_positions":     [0,  1, 2, 0],
        "decoder_segment_ids":   [1,  1, 1, 0],
    }
    # fmt: on


def test_a_conversation_that_is_too_long_loses_its_beginning(tmp_path):
    row = one_row(tmp_path, "decoder", [CHAT], {"inputs": 8, "targets": 2})
    # fmt: off
    assert row == {
        "decoder_target_tokens":    [31, 32, 33, 1, 41, 42, 1, 51, 1, 0],
        "decoder_input_tokens":     [0, 31, 32, 33, 1, 41, 42, 1, 51, 0],
        "decoder_loss_weights":     [1,  1,  1, 1,  0,  0, 0,  1, 1, 0],
        "decoder_causal_attention": [1,  0,  0, 0,  0,  0, 0,  0, 0, 0],
        "decoder_positions":        [0,  1,  2, 3,  4,  5, 6,  7, 8, 0],
        "decoder_segment_ids":      [1,  1,  1, 1,  1,  1, 1,  1, 1, 0],
    }
    # fmt: on


def test_a_pair_and_plain_text_in_one_row(tmp_path):
    examples = [[([4, 5, 6, 1], False), ([7, 1], True)], [([8, 9, 3, 1], True)]]
    row = one_row(tmp_path, "decoder", examples, {"inputs": 7, "targets": 4})
    # fmt: off
    pair_first = {
        "decoder_target_tokens":    [4, 5, 6, 1, 7, 1, 8, 9, 3, 1, 0],
        "decoder_input_tokens":     [0, 4, 5, 6, 1, 7, 0, 8, 9, 3, 0],
        "decoder_loss_weights":     [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0],
        "decoder_causal_attention": [1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0],
        "decoder_positions":        [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 0],
        "decoder_segment_ids":      [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0],
    }
    # fmt: on
    assert row == pair_first


def test_rows_that_begin_with_another_token(tmp_path):
    examples = [[([4, 5, 6, 1], False), ([7, 1], True)], [([8, 9, 3, 1], True)]]
    lengths = {"inputs": 7, "targets": 4}
    ends = FLAN_ENDS._replace(start=2)
    row = one_row(tmp_path, "decoder", examples, lengths, ends)
    assert row["decoder_input_tokens"] == [2, 4, 5, 6, 1, 7, 2, 8, 9, 3, 0]
    assert row["decoder_target_tokens"] == [4, 5, 6, 1, 7, 1, 8, 9, 3, 1, 0]


def test_without_a_start_token_the_first_token_is_only_read(tmp_path):
    """An example takes one position less: 14 positions hold what took 16."""
    text = [([8, 9, 3, 1], True)]
    examples = [CHAT[1:], text]
    ends = FLAN_ENDS._replace(start=None)
    row = one_row(tmp_path, "decoder", examples, {"inputs": 10, "targets": 4}, ends)
    # fmt: off
    assert row == {
        "decoder_target_tokens":    [1,  31, 32, 33, 1,  41, 42, 1,  51, 52, 1,  9, 3, 1],
        "decoder_input_tokens":     [21, 1,  31, 32, 33, 1,  41, 42, 1,  51, 52, 8, 9, 3],
        "decoder_loss_weights":     [0,  1,  1,  1,  1,  0,  0,  0,  1,  1,  1,  1, 1, 1],
        "decoder_causal_attention": [1,  1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  1, 0, 0],
        "decoder_positions":        [0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 0, 1, 2],
        "decoder_segment_ids":      [1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  2, 2, 2],
    }
    # fmt: on


def test_a_cut_keeps_the_tokens_that_end_a_segment():
    prompt = TokenSegment(np.array([5, 6, 7, 8, 3, 4]), False)
    answer = TokenSegment(np.array([9, 10, 11, 2, 13]), True)
    ends = RowTokens(start=None, prompt_tail=(3, 4), answer_tail=(2, 13), stop_ids=(2,))
    lengths = {"inputs": 4, "targets": 3}
    (inputs,), targets = fit_segments([prompt, answer], lengths, ends)
    assert inputs.tokens.tolist() == [5, 6, 3, 4]
    assert targets.tokens.tolist() == [9, 2, 13]


def test_an_unpacked_row_holds_one_example(tmp_path):
    store = open_store(tmp_path / "chat", [CHAT, CHAT[2:]])
    loader = make_loader({"chat": store}, "decoder", batch_size=2, packing=False)
    batch = loader.batch(0)
    assert batch["decoder_segment_ids"].max(axis=1).tolist() == [1, 1]
    sizes = [15, 10]
    expected = [sizes[ref.index] for (ref,) in loader.plan.rows(0)]
    assert batch["decoder_segment_ids"].sum(axis=1).tolist() == expected


def test_dtypes_and_shapes(stores):
    for architecture, width in (("encoder_decoder", 12), ("decoder", 36)):
        batch = make_loader(stores, architecture).batch(0)
        for name, array in batch.items():
            dtype = np.float32 if name == "decoder_loss_weights" else np.int32
            length = 24 if name.startswith("encoder") else width
            assert array.dtype == dtype
            assert array.shape == (4, length)


def test_fit_segments():
    segments = [TokenSegment(np.array(tokens), loss) for tokens, loss in CHAT]

    def fitted(inputs, targets):
        lengths = {"inputs": inputs, "targets": targets}
        input_segments, target = fit_segments(segments, lengths, FLAN_ENDS)
        return [
            (segment.tokens.tolist(), segment.has_loss)
            for segment in (*input_segments, target)
        ]

    assert fitted(12, 3) == CHAT
    assert fitted(11, 3) == CHAT[1:]
    assert fitted(8, 3) == CHAT[2:]
    assert fitted(7, 3) == CHAT[2:]
    assert fitted(6, 3) == CHAT[3:]
    assert fitted(3, 3) == CHAT[3:]
    assert fitted(2, 2) == [([41, EOS], False), ([51, EOS], True)]
    assert fitted(1, 2) == [([EOS], False), ([51, EOS], True)]


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_make_the_batch_together(architecture, hosts, stores):
    loader = make_loader(stores, architecture)
    share = 4 // hosts
    parts = [
        loader.batch(7, slice(host * share, (host + 1) * share))
        for host in range(hosts)
    ]
    for name, array in loader.batch(7).items():
        np.testing.assert_array_equal(
            np.concatenate([part[name] for part in parts]), array
        )


def test_prefetch_gives_all_steps_in_order_and_ends():
    assert list(prefetch(lambda step: step * 10, 3, 7)) == [
        (3, 30),
        (4, 40),
        (5, 50),
        (6, 60),
    ]


def test_prefetch_makes_so_many_batches_ahead_and_no_more():
    made = []
    two_ahead = threading.Event()

    def make(step):
        made.append(step)
        if step == 4:
            two_ahead.set()
        return step

    batches = prefetch(make, 0, 100, depth=2)
    assert next(batches) == (0, 0)
    # One is read, two wait, and one more is made that finds no room.
    assert not two_ahead.wait(timeout=0.3)
    assert made == [0, 1, 2, 3]
    batches.close()


def test_closing_prefetch_ends_its_thread():
    earlier_threads = set(threading.enumerate())
    batches = prefetch(lambda step: step, 0, 10**12)
    next(batches)
    (thread,) = set(threading.enumerate()) - earlier_threads
    assert thread.name == "prefetch"
    batches.close()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_prefetch_raises_what_making_a_batch_raised():
    def make_batch(step):
        if step == 2:
            raise KeyError("no such row")
        return step

    with pytest.raises(KeyError, match="no such row"):
        list(prefetch(make_batch, 0, 5))


def test_prefetch_names_the_batch_that_does_not_come():
    stuck = threading.Event()
    batches = prefetch(
        lambda step: stuck.wait() if step == 4 else step, 3, 7, patience=0.2
    )
    assert next(batches) == (3, 3)
    with pytest.raises(DataStalled, match=r"batch 4 has not come for 0\.2 s"):
        next(batches)
    stuck.set()
