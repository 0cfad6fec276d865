import dataclasses
import itertools

import numpy as np
import pytest
import seqio
import tensorflow as tf
from stores import input_and_target_tokens
from toy_tasks import CHAT, HERD, KIND, SPELL, Rows, herd_fields

import tasks  # noqa: F401 (registers)
from flan_jax.data import seqio_registry
from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.loader import Loader
from flan_jax.data.mixture_data import task_lengths
from flan_jax.data.prepare import prepare
from flan_jax.data.row_format import RowFormat
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.seqio_registry import (
    LOSS_WEIGHTS,
    SegmentsFeatureConverter,
    register_seqio,
    seqio_vocabulary,
)
from flan_jax.data.store_requests import Request, Selection
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks import metrics as metrics_module
from flan_jax.tasks import mixtures
from flan_jax.tasks import task as tasks_module
from flan_jax.tasks.clusters import leave_one_cluster_out
from flan_jax.tasks.mixtures import Mixture
from flan_jax.tasks.task import resolve_source

REGISTERED, MIXES = dict(tasks_module.TASKS), dict(mixtures.MIXTURES)
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
    mixes |= {
        "toy_zoo": Mixture("toy_zoo"),
        "toy_words": Mixture("toy_words", ("toy_spell",)),
    }
    return registries


def ours(store, lengths, eos):
    def trimmed(tokens, length):
        return [*tokens[:-1][: length - 1], eos]

    return [
        {
            "inputs": trimmed(inputs, lengths["inputs"]),
            "targets": trimmed(targets, lengths["targets"]),
        }
        for inputs, targets in zip(*input_and_target_tokens(store), strict=True)
    ]


def theirs(name, lengths, split, limit=None):
    dataset = seqio.get_mixture_or_task(name).get_dataset(lengths, split, shuffle=False)
    examples = itertools.islice(dataset.as_numpy_iterator(), limit)
    return [
        {key: example[key].tolist() for key in ("inputs", "targets")}
        for example in examples
    ]


@pytest.mark.parametrize("split, kind", SPLITS)
@pytest.mark.parametrize("renderings", [1, 2])
def test_seqio_gives_the_prepared_tokens(
    zoo, tokenizer, tmp_path, split, kind, renderings
):
    selection = Selection(cap=15, renderings=renderings, seed=4)
    register_seqio(tokenizer.path, selection=selection)
    requests = [Request(task, split, kind) for task in (KIND, SPELL)]
    stores = prepare(
        requests, RowTokenizer(tokenizer), tmp_path, selection=selection, workers=0
    )
    tokens = [input_and_target_tokens(store) for store in stores.values()]
    # Half of the examples are cut.
    lengths = {
        "inputs": int(np.median([len(ids) for inputs, _ in tokens for ids in inputs])),
        "targets": int(
            np.median([len(ids) for _, targets in tokens for ids in targets])
        ),
    }
    for (name, _, _), store in stores.items():
        assert theirs(name, lengths, split) == ours(store, lengths, tokenizer.eos_id)


def test_seqio_with_a_tokenizer_json(zoo, tokenizer_json, tmp_path):
    tokenizer = load_tokenizer(tokenizer_json({"eos_token": "</s>"}))
    register_seqio(tokenizer.path)
    request = Request(KIND, "train", "train")
    stores = prepare([request], RowTokenizer(tokenizer), tmp_path, workers=0)
    assert theirs("toy_kind", LENGTHS, "train") == ours(
        stores[request.key], LENGTHS, tokenizer.eos_id
    )


def test_mixtures(zoo, tokenizer):
    register_seqio(tokenizer.path, maximum_rate=15)
    zoo_mixture = seqio.get_mixture_or_task("toy_zoo")
    # 17 of the 20 toy_kind rows are kept; the maximum cuts them to 15.
    assert {task.name: zoo_mixture.get_rate(task) for task in zoo_mixture.tasks} == {
        "toy_kind": 15,
        "toy_spell": 13,
    }
    assert [task.name for task in seqio.get_mixture_or_task("toy_words").tasks] == [
        "toy_spell"
    ]
    examples = theirs("toy_zoo", LENGTHS, "train", limit=20)
    spelled = {
        tuple(example["inputs"]) for example in theirs("toy_spell", LENGTHS, "train")
    }
    assert 0 < sum(tuple(example["inputs"]) in spelled for example in examples) < 20


def test_mixtures_pack_for_t5x(zoo, tokenizer):
    register_seqio(tokenizer.path)
    lengths = {"inputs": 64, "targets": 32}
    dataset = seqio.get_dataset(
        "toy_zoo",
        lengths,
        seqio.EncDecFeatureConverter(pack=True),
        shuffle=True,
        seed=0,
    )
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
    register_seqio(tokenizer.path, selection=Selection(cap=2))
    assert "toy_kind" not in seqio.TaskRegistry.names()
    assert len(theirs("toy_spell", LENGTHS, "train")) == 2


def test_names_of_others_are_left_alone(zoo, tokenizer):
    seqio.TaskRegistry.add(
        "toy_spell",
        seqio.FunctionDataSource(lambda split, shuffle_files: None, ["train"]),
        output_features={},
    )
    try:
        with pytest.raises(
            InputError, match="another task or mixture named 'toy_spell'"
        ):
            register_seqio(tokenizer.path)
    finally:
        seqio.TaskRegistry.remove("toy_spell")


def test_vocabularies(tokenizer, tokenizer_json):
    for tok in (
        load_tokenizer(tokenizer.path, 10),
        load_tokenizer(tokenizer_json({"eos_token": "</s>"})),
    ):
        vocabulary = seqio_vocabulary(tok)
        ids = tok.encode("a fox flies")
        assert vocabulary.encode("a fox flies") == ids
        assert vocabulary.encode_tf(tf.constant("a fox flies")).numpy().tolist() == ids
        assert vocabulary.decode([*ids, tok.eos_id, 5]) == "a fox flies"
        assert (
            vocabulary.decode_tf(tf.constant([*ids, tok.eos_id])).numpy()
            == b"a fox flies"
        )
        assert (vocabulary.vocab_size, vocabulary.eos_id) == (
            tok.vocab_size,
            tok.eos_id,
        )
        assert vocabulary == seqio_vocabulary(tok)


@pytest.fixture(scope="module")
def small_tasks():
    """Every task of ours on few practice rows."""
    tasks_by_name = {}
    for name, task in REGISTERED.items():
        sandbox = dataclasses.replace(task.sandbox, train=8, validation=1, test=1)
        tasks_by_name[name] = dataclasses.replace(task, sandbox=sandbox)
    return tasks_by_name


def test_every_task_of_ours(registries, small_tasks, tokenizer, tmp_path):
    """Each task's practice rows have the same tokens in seqio and in our stores.

    One split of each task is compared: train, validation and test in turn.
    """
    assert len(small_tasks) == 70
    registries[0].update(small_tasks)
    register_seqio(tokenizer.path)
    lengths = {"inputs": 100, "targets": 20}
    requests = []
    for number, task in enumerate(small_tasks.values()):
        split, kind = SPLITS[number % 3]
        if split in task.splits:
            source = resolve_source(task, "sandbox")
            task = dataclasses.replace(task, source=source)
            requests.append(Request(task, split, kind))
    assert len(requests) > 60
    stores = prepare(requests, RowTokenizer(tokenizer), tmp_path, workers=0)
    for (name, split, _), store in stores.items():
        expected = ours(store, lengths, tokenizer.eos_id)
        assert theirs(name, lengths, split) == expected, name


def test_tasks_of_one_template(zoo, tokenizer):
    register_seqio(tokenizer.path)
    rows = list(KIND.source.rows("train"))
    for index, template in enumerate(KIND.templates):
        task = seqio.TaskRegistry.get(f"toy_kind_type_{index}")
        assert ("test" in task.splits) == (not template.turned_around)
        wanted = [
            template.render(KIND.example(row))[0]
            for row in rows
            if KIND.example(row) is not None
        ]
        texts = task.get_dataset(LENGTHS, "train", shuffle=False).as_numpy_iterator()
        assert [example["inputs_pretokenized"].decode() for example in texts] == wanted


def test_the_mixtures_of_flan(registries, small_tasks, tokenizer):
    registries[0].update(small_tasks)
    registries[1].update(MIXES)
    register_seqio(tokenizer.path)
    names = {
        mixture: {t.name for t in seqio.get_mixture_or_task(mixture).tasks}
        for mixture in seqio.MixtureRegistry.names()
    }
    assert names["flan2021"] == set(small_tasks) - {"wsc273"}
    assert len([name for name in names if name.startswith("flan2021_without_")]) == 12
    for split in leave_one_cluster_out(list(small_tasks.values())):
        assert names[f"flan2021_without_{split.clusters[0]}"] == set(split.train)
        assert names[f"flan2021_{split.clusters[0]}"] == set(split.held_out)
    assert len(names["flan2021_7_clusters_2_each"]) == 14
    assert len(names["flan2021_3_clusters_15_tasks"]) == 15
    assert names["flan2021_1_clusters"] < names["flan2021_2_clusters"]
    lengths, packed = (
        {"inputs": 512, "targets": 128},
        seqio.EncDecFeatureConverter(pack=True),
    )
    dataset = seqio.get_dataset(
        "flan2021_without_nli", lengths, packed, shuffle=True, seed=0
    )
    assert next(dataset.as_numpy_iterator())["encoder_segment_ids"].max() > 1


def test_seqios_evaluator(zoo, tokenizer):
    register_seqio(tokenizer.path)
    evaluator = seqio.Evaluator(
        "toy_spell",
        seqio.EncDecFeatureConverter(pack=False),
        eval_split="test",
        sequence_length={"inputs": 16, "targets": 32},
    )
    (task,) = evaluator.eval_tasks

    def predict(dataset):  # an enumerated dataset
        return [
            (i, example["decoder_target_tokens"].tolist())
            for i, example in dataset.as_numpy_iterator()
        ]

    metrics, _ = evaluator.evaluate(compute_metrics=True, step=0, predict_fn=predict)
    assert metrics.result()[task.name]["accuracy"] == 100.0


def t5_mean_group_metric(targets, predictions):
    """T5's mean_group_metric(all_match): it reads the keys "group" and "value" alone."""
    groups = {}
    for target, prediction in zip(targets, predictions, strict=True):
        pair = (target["value"], prediction["value"])
        groups.setdefault(target["group"], []).append(pair)
    matches = [all(t == p for t, p in pairs) for pairs in groups.values()]
    return {"t5": 100 * np.mean(matches)}


def evaluate_herd(tokenizer, flip, *, task="toy_herd", row_format="flan", cap=None):
    """seqio's scores of HERD; the examples of the positions in `flip` are answered wrongly."""
    selection = Selection(max_eval_examples=cap)
    register_seqio(tokenizer.path, selection=selection, row_format=row_format)
    evaluator = seqio.Evaluator(
        task,
        seqio.EncDecFeatureConverter(pack=False),
        eval_split="test",
        sequence_length={"inputs": 64, "targets": 32},
    )
    answers = {}
    for answer in ("no", "yes", "It is no.", "It is yes."):
        answers[answer] = [*tokenizer.encode(answer), tokenizer.eos_id]
    wrong = dict(zip(answers, ("yes", "no", "It is yes.", "It is no."), strict=True))

    def predict(dataset):  # an enumerated dataset
        predictions = []
        for i, example in dataset.as_numpy_iterator():
            tokens = example["decoder_target_tokens"].tolist()
            if i in flip:
                tokens = answers[wrong[tokenizer.decode(tokens)]]
            predictions.append((i, (tokens + [0] * 32)[:32]))
        return predictions

    metrics, _ = evaluator.evaluate(compute_metrics=True, step=0, predict_fn=predict)
    return metrics.result()[task]


OWN_FORMAT = RowFormat(
    start="{pad}", separator="{eos}", joint="{eos}", trim_prompts=True
)


@pytest.mark.parametrize("row_format", ["flan", OWN_FORMAT])
def test_metrics_of_groups_in_seqio(registries, tokenizer, monkeypatch, row_format):
    """Groups of 1, 3, 2, 3, 2, 3 and 3 rows, each in two templates: 14 groups.

    Wrong are a row of template 0 in the first group, and two of template 1 in the second.
    """
    metrics = (*HERD.metrics, t5_mean_group_metric)
    monkeypatch.setattr(metrics_module, "METRICS", dict(metrics_module.METRICS))
    metrics_module.register_metric(t5_mean_group_metric, mean_of_groups=True)
    registries[0]["toy_herd"] = dataclasses.replace(HERD, metrics=metrics)
    scores = evaluate_herd(tokenizer, {0, 3, 5}, row_format=row_format)
    assert scores == {
        "accuracy": pytest.approx(100 * 31 / 34),
        "group_exact_match": pytest.approx(100 * 12 / 14),
        "t5": pytest.approx(100 * 12 / 14),
    }
    # In one template the first group alone is wrong.
    alone = evaluate_herd(tokenizer, {0}, task="toy_herd_type_0", row_format=row_format)
    assert alone["group_exact_match"] == alone["t5"] == pytest.approx(100 * 6 / 7)


def test_a_group_that_a_cap_cuts_does_not_count_in_seqio(registries, tokenizer):
    registries[0]["toy_herd"] = HERD
    scores = evaluate_herd(tokenizer, {3, 5}, cap=2)
    assert scores == {"accuracy": 75.0, "group_exact_match": 100.0}


def test_without_whole_groups_their_metric_is_absent_in_seqio(
    registries, tokenizer, capsys
):
    late = dataclasses.replace(HERD, fields=lambda row: herd_from(row, 2001))
    registries[0]["toy_herd"] = late
    assert evaluate_herd(tokenizer, set(), cap=2) == {"accuracy": 100.0}
    assert "group_exact_match is left out: it scores whole" in capsys.readouterr().err


def herd_from(row, first):
    return herd_fields(row) if row["number"] >= first else None


def test_groups_are_no_obstacle_to_a_mixture(zoo, tokenizer):
    zoo[0]["toy_herd"] = HERD
    register_seqio(tokenizer.path)
    for split in ("train", "test"):
        assert theirs("toy_zoo", LENGTHS, split, limit=30)


def test_a_seqio_task_in_a_mixture_of_ours(zoo, tokenizer, tmp_path):
    theirs_alone = {
        split: [{"inputs": f"{split} say {n}", "targets": f"it is {n}"} for n in "abc"]
        for split in ("train", "test")
    }

    text = tf.TensorSpec((), tf.string)

    def dataset(split, shuffle_files, seed=None):
        return tf.data.Dataset.from_generator(
            lambda: iter(theirs_alone[split]),
            output_signature={"inputs": text, "targets": text},
        )

    feature = seqio.Feature(seqio_vocabulary(tokenizer), add_eos=True)
    seqio.TaskRegistry.add(
        "their_task",
        seqio.FunctionDataSource(dataset, ["train", "test"]),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features={"inputs": feature, "targets": feature},
    )
    try:
        zoo[1]["both"] = Mixture("both", ("toy_kind", "their_task"))
        task = mixtures.mixture_or_task("both")[1]
        assert (task.name, task.splits) == ("their_task", ("train", "test"))
        stores = prepare(
            [Request(task, "train", "train"), Request(task, "test", "eval")],
            RowTokenizer(tokenizer),
            tmp_path,
            workers=2,
        )
        for (name, split, _), store in stores.items():
            wanted = list(
                seqio.get_mixture_or_task(name)
                .get_dataset(None, split, shuffle=False)
                .as_numpy_iterator()
            )
            inputs, targets = input_and_target_tokens(store)
            assert targets == [e["targets"].tolist() for e in wanted]
            assert list(map(tokenizer.decode, inputs)) == [
                e["inputs"] for e in theirs_alone[split]
            ]
        register_seqio(tokenizer.path)
        assert {t.name for t in seqio.get_mixture_or_task("both").tasks} == {
            "toy_kind",
            "their_task",
        }
    finally:
        seqio.TaskRegistry.remove("their_task")


def seqio_batch(name, lengths, converter):
    """The arrays that seqio's converter makes of a task's training examples."""
    task_lengths = {**lengths, LOSS_WEIGHTS: lengths["inputs"]}
    lengths = {feature: task_lengths[feature] for feature in converter.TASK_FEATURES}
    dataset = seqio.get_mixture_or_task(name).get_dataset(
        lengths, "train", shuffle=False
    )
    rows = list(converter(dataset, task_feature_lengths=lengths).as_numpy_iterator())
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def examples_of(batch, side):
    """Each example's arrays on one side of a batch, without padding, in a fixed order."""
    arrays = {name: array for name, array in batch.items() if name.startswith(side)}
    ids = batch[f"{side}_segment_ids"]
    examples = []
    for row, row_ids in enumerate(ids):
        for number in range(1, row_ids.max() + 1):
            own = row_ids == number
            examples.append(
                {
                    name: array[row][own].tolist()
                    for name, array in arrays.items()
                    if not name.endswith("segment_ids")
                }
            )
    return sorted(examples, key=str)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize(
    "lengths", [{"inputs": 60, "targets": 24}, {"inputs": 20, "targets": 6}]
)
@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_conversations(zoo, tokenizer, tmp_path, architecture, packing, lengths):
    """A task of conversations gives the same arrays through our loader and through seqio."""
    zoo[0].update(toy_chat=CHAT, toy_kind=KIND)
    zoo[1].clear()
    zoo[1]["toy_mix"] = Mixture("toy_mix", ("toy_chat", "toy_kind"))
    register_seqio(tokenizer.path, loss_weights=True)
    request = Request(CHAT, "train", "train")
    store = prepare([request], RowTokenizer(tokenizer), tmp_path, workers=0)[
        request.key
    ]
    plan = MixturePlan(
        {"toy_chat": task_lengths(store)},
        {"toy_chat": len(store)},
        architecture=architecture,
        batch_size=100,
        lengths=lengths,
        seed=0,
        packing=packing,
    )
    batch = Loader(plan, {"toy_chat": store}, RowTokenizer(tokenizer).tokens).batch(0)
    if architecture == "encoder_decoder":
        converter = seqio.EncDecFeatureConverter(pack=packing)
    else:
        converter = SegmentsFeatureConverter(pack=packing)
    seqio_arrays = seqio_batch("toy_chat", lengths, converter)
    if not packing:
        # seqio's rows of one example have no ids and positions, and EOS as an input at the end.
        for side in ("encoder", "decoder"):
            tokens = seqio_arrays.get(f"{side}_input_tokens")
            if tokens is None:
                continue
            targets = seqio_arrays.get("decoder_target_tokens")
            real = tokens > 0 if side == "encoder" else targets > 0
            seqio_arrays[f"{side}_segment_ids"] = real.astype(int)
            seqio_arrays[f"{side}_positions"] = np.arange(real.shape[1]) * real
    assert set(seqio_arrays) == set(batch)

    sides = (
        ("encoder", "decoder") if architecture == "encoder_decoder" else ("decoder",)
    )
    for side in sides:
        ours, theirs = examples_of(batch, side), examples_of(seqio_arrays, side)
        assert len(theirs) == len(store)
        # A batch of ours holds the examples of several epochs.
        assert all(example in ours for example in theirs)
        assert all(example in theirs for example in ours)
    if architecture == "decoder" and lengths["inputs"] == 60:
        # Five segments, two of which have loss.
        loss = np.array(theirs[0]["decoder_loss_weights"])
        assert np.flatnonzero(np.diff(loss)).size == 3

    # Pairs and conversations can be mixed.
    mixed = seqio.get_mixture_or_task("toy_mix")
    assert set(mixed.output_features) == {"inputs", "targets", LOSS_WEIGHTS}


def test_pairs_are_the_same_for_both_decoder_converters(zoo, tokenizer):
    register_seqio(tokenizer.path, loss_weights=True)
    lengths = {"inputs": 30, "targets": 10}
    ours = seqio_batch("toy_kind", lengths, SegmentsFeatureConverter(pack=True))
    theirs = seqio_batch("toy_kind", lengths, seqio.PrefixLMFeatureConverter(pack=True))
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_other_row_formats(zoo, tokenizer_json, tmp_path):
    """A format that begins with PAD gives the prepared tokens; others are refused."""
    tokenizer = load_tokenizer(tokenizer_json({"eos_token": "</s>"}, PAD_FIRST))
    row_format = RowFormat(start="{pad}", separator="\n", answer_prefix=" ")
    register_seqio(tokenizer.path, row_format=row_format)
    request = Request(KIND, "train", "train")
    rows = RowTokenizer(tokenizer, row_format)
    (store,) = prepare([request], rows, tmp_path, workers=0).values()
    inputs, targets = input_and_target_tokens(store)
    lengths = {"inputs": 999, "targets": 999}
    expected = [
        {"inputs": one, "targets": other}
        for one, other in zip(inputs, targets, strict=True)
    ]
    assert theirs("toy_kind", lengths, "train") == expected
    with pytest.raises(InputError, match="converters begin it with the token 0, PAD"):
        register_seqio(tokenizer.path, row_format="text")


PAD_FIRST = ("<pad>", "</s>", "<unk>")
