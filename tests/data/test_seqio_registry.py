import dataclasses
import itertools

import numpy as np
import pytest
import seqio
import tensorflow as tf
from toy_tasks import KIND, SPELL, Rows

import tasks  # noqa: F401 (registers)
from flan_jax.data import mixtures, seqio_registry
from flan_jax.data import tasks as tasks_module
from flan_jax.data.mixtures import Mixture
from flan_jax.data.prepare import Request, prepare
from flan_jax.data.seqio_registry import register_seqio, seqio_vocabulary
from flan_jax.data.store import trim_and_append_eos
from flan_jax.data.tasks import resolve_source
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError

REGISTERED = dict(tasks_module.TASKS)
LENGTHS = {"inputs": 7, "targets": 4}
SPLITS = (("train", "train"), ("validation", "eval"), ("test", "eval"))


@pytest.fixture
def registries(monkeypatch):
    """Empty registries of tasks and mixtures, ours and what we put into seqio's."""
    known, mixes = {}, {}
    for module in (tasks_module, mixtures, seqio_registry):
        monkeypatch.setattr(module, "TASKS", known)
    for module in (mixtures, seqio_registry):
        monkeypatch.setattr(module, "MIXTURES", mixes)
    yield known, mixes
    known.clear()
    register_seqio()


@pytest.fixture
def zoo(registries):
    known, mixes = registries
    known |= {"toy_kind": KIND, "toy_spell": SPELL}
    mixes |= {"toy_zoo": Mixture("toy_zoo"), "toy_words": Mixture("toy_words", ("toy_spell",))}
    return registries


def ours(store, lengths, eos):
    rows = []
    for i in range(len(store)):
        pair = {"inputs": store.inputs.row(i), "targets": store.targets.row(i)}
        rows.append({key: trim_and_append_eos(ids, lengths[key], eos).tolist() for key, ids in pair.items()})
    return rows


def theirs(name, lengths, split, limit=None):
    dataset = seqio.get_mixture_or_task(name).get_dataset(lengths, split, shuffle=False)
    examples = itertools.islice(dataset.as_numpy_iterator(), limit)
    return [{key: example[key].tolist() for key in ("inputs", "targets")} for example in examples]


@pytest.mark.parametrize("split, kind", SPLITS)
@pytest.mark.parametrize("renderings", [1, 2])
def test_seqio_gives_the_prepared_tokens(zoo, tokenizer, tmp_path, split, kind, renderings):
    register_seqio(tokenizer.path, cap=15, renderings=renderings, seed=4)
    requests = [Request(task, split, kind) for task in (KIND, SPELL)]
    stores = prepare(requests, tokenizer, tmp_path, cap=15, renderings=renderings, seed=4, workers=0)
    # Half of the examples are cut.
    lengths = {f: int(np.median(np.concatenate([getattr(s, f).lengths for s in stores.values()]))) for f in LENGTHS}
    for (name, _, _), store in stores.items():
        assert theirs(name, lengths, split) == ours(store, lengths, tokenizer.eos_id)


def test_seqio_with_a_tokenizer_json(zoo, tokenizer_json, tmp_path):
    tokenizer = load_tokenizer(tokenizer_json({"eos_token": "</s>"}))
    register_seqio(tokenizer.path)
    request = Request(KIND, "train", "train")
    stores = prepare([request], tokenizer, tmp_path, workers=0)
    assert theirs("toy_kind", LENGTHS, "train") == ours(stores[request.key], LENGTHS, tokenizer.eos_id)


def test_mixtures(zoo, tokenizer):
    register_seqio(tokenizer.path, maximum_rate=15)
    zoo_mixture = seqio.get_mixture_or_task("toy_zoo")
    # 17 of the 20 toy_kind rows are kept; the maximum cuts them to 15.
    assert {task.name: zoo_mixture.get_rate(task) for task in zoo_mixture.tasks} == {"toy_kind": 15, "toy_spell": 13}
    assert [task.name for task in seqio.get_mixture_or_task("toy_words").tasks] == ["toy_spell"]
    examples = theirs("toy_zoo", LENGTHS, "train", limit=20)
    spelled = {tuple(example["inputs"]) for example in theirs("toy_spell", LENGTHS, "train")}
    assert 0 < sum(tuple(example["inputs"]) in spelled for example in examples) < 20


def test_mixtures_pack_for_t5x(zoo, tokenizer):
    register_seqio(tokenizer.path)
    lengths = {"inputs": 64, "targets": 32}
    dataset = seqio.get_dataset("toy_zoo", lengths, seqio.EncDecFeatureConverter(pack=True), shuffle=True, seed=0)
    row = next(dataset.as_numpy_iterator())
    assert row["encoder_input_tokens"].shape == (64,)
    assert row["encoder_segment_ids"].max() > 1


def test_seqio_evaluates_with_our_metrics(zoo, tokenizer):
    register_seqio(tokenizer.path)
    (metric,) = seqio.TaskRegistry.get("toy_kind").metric_fns
    assert metric(["a"], ["a"]) == {"accuracy": 100.0}


def test_registration_reads_no_row(registries, tokenizer):
    @dataclasses.dataclass(frozen=True)
    class Unreadable(Rows):
        def rows(self, split):
            raise AssertionError("read")

    registries[0]["toy_kind"] = dataclasses.replace(KIND, source=Unreadable(test=None))
    registries[1]["toy_zoo"] = Mixture("toy_zoo")
    register_seqio(tokenizer.path)
    assert seqio.TaskRegistry.get("toy_kind").splits == ("train", "validation")


def test_registering_again_replaces(zoo, tokenizer):
    register_seqio(tokenizer.path)
    del zoo[0]["toy_kind"]
    register_seqio(tokenizer.path, cap=2)
    assert "toy_kind" not in seqio.TaskRegistry.names()
    assert len(theirs("toy_spell", LENGTHS, "train")) == 2


def test_names_of_others_are_left_alone(zoo, tokenizer):
    seqio.TaskRegistry.add(
        "toy_spell", seqio.FunctionDataSource(lambda split, shuffle_files: None, ["train"]), output_features={}
    )
    try:
        with pytest.raises(InputError, match="another task or mixture named 'toy_spell'"):
            register_seqio(tokenizer.path)
    finally:
        seqio.TaskRegistry.remove("toy_spell")


def test_vocabularies(tokenizer, tokenizer_json):
    for tok in (load_tokenizer(tokenizer.path, 10), load_tokenizer(tokenizer_json({"eos_token": "</s>"}))):
        vocabulary = seqio_vocabulary(tok)
        ids = tok.encode("a fox flies")
        assert vocabulary.encode("a fox flies") == ids
        assert vocabulary.encode_tf(tf.constant("a fox flies")).numpy().tolist() == ids
        assert vocabulary.decode([*ids, tok.eos_id, 5]) == "a fox flies"
        assert vocabulary.decode_tf(tf.constant([*ids, tok.eos_id])).numpy() == b"a fox flies"
        assert (vocabulary.vocab_size, vocabulary.eos_id) == (tok.vocab_size, tok.eos_id)
        assert vocabulary == seqio_vocabulary(tok)


def test_every_task_of_ours(registries, tokenizer, tmp_path):
    """The practice rows of every registered task come out of seqio with the tokens that our stores hold."""
    ours_all = {
        name: dataclasses.replace(task, sandbox=dataclasses.replace(task.sandbox, train=8, test=2))
        for name, task in REGISTERED.items()
    }
    assert len(ours_all) >= 18
    registries[0].update(ours_all)
    registries[1]["toy_all"] = Mixture("toy_all")
    register_seqio(tokenizer.path)
    lengths = {"inputs": 100, "targets": 20}
    requests = [
        Request(dataclasses.replace(task, source=resolve_source(task, "sandbox")), "train", "train")
        for task in ours_all.values()
    ]
    stores = prepare(requests, tokenizer, tmp_path, workers=0)
    for (name, split, _), store in stores.items():
        assert theirs(name, lengths, split) == ours(store, lengths, tokenizer.eos_id), name
    assert len(theirs("toy_all", lengths, "train", limit=30)) == 30
