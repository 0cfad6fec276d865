import dataclasses

import numpy as np
import pytest
from toy_tasks import KIND, SPELL

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import MixtureData
from flan_jax.data.prepare import prepare
from flan_jax.data.store_requests import Request
from flan_jax.data.token_store import trim_and_append_eos
from flan_jax.data.tokenizers import load_tokenizer, train_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.evaluation import evaluate
from flan_jax.evaluation.config import EvalConfig, EvalContext
from flan_jax.evaluation.evaluate import (
    after_training,
    before_training,
    cluster_means,
    during_training,
    score,
)
from flan_jax.evaluation.predictions import option_scores, predict
from flan_jax.evaluation.score_files import delete_other_scores, is_scored
from flan_jax.evaluation.summaries import summarise
from flan_jax.json_files import read_json, read_jsonl
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.run_dir import Run
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import render_eval, render_train
from flan_jax.tasks.task import TASKS
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state

SIZES = {
    "vocab_size": 400,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=1, **SIZES),
    "decoder": DecoderConfig(num_layers=1, **SIZES),
}
LENGTHS = {"inputs": 32, "targets": 16}
ROWS = {
    "toy_kind": 2 * 17,
    "toy_spell": 2 * 13,
}  # templates that ask for the answer x kept examples


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    rows = [
        row
        for task in (KIND, SPELL)
        for row in render_train(task, task.source.rows("train"), renderings=3)
    ]
    path = tmp_path_factory.mktemp("tokenizer") / "toy.model"
    train_tokenizer(
        [text for row in rows for text in (row.inputs, row.targets)], path, vocab_size=400
    )
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def stores(tokenizer, tmp_path_factory):
    """The evaluation stores of a ranked and of a generated task, by (task, split)."""
    requests = [
        Request(task, split, "eval") for task in (KIND, SPELL) for split in ("validation", "test")
    ]
    made = prepare(requests, tokenizer, tmp_path_factory.mktemp("cache"), workers=0, progress=False)
    return {(name, split): store for (name, split, _), store in made.items()}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def params(model):
    return init_state(model, adamw(1e-3), make_mesh(), seed=0).params


@pytest.fixture(scope="module")
def scorer(model, params, tokenizer):
    return Scorer(model, params, make_mesh(), rows=8, eos_id=tokenizer.eos_id)


def predictions(scorer, stores, tokenizer, limits=None, **options):
    limits = limits or {key: len(store) for key, store in stores.items()}
    return predict(scorer, stores, limits, LENGTHS, tokenizer, **options)


def tokens_of(store, row, tokenizer):
    """(the prompt, its options) as the model is to see them."""
    prompt = trim_and_append_eos(store.inputs.row(row), LENGTHS["inputs"], tokenizer.eos_id)
    return prompt, [
        trim_and_append_eos(o, LENGTHS["targets"], tokenizer.eos_id) for o in store.options(row)
    ]


def test_every_row_is_predicted_in_the_stores_order(scorer, stores, tokenizer):
    done = []
    limits = {key: len(store) for key, store in stores.items()}
    found = predict(scorer, stores, limits, LENGTHS, tokenizer, progress=done.append)
    assert {key: len(rows) for key, rows in found.items()} == {key: ROWS[key[0]] for key in stores}
    assert done == sorted(done) and done[-1] == sum(limits.values())
    for (name, split), rows in found.items():
        task = {"toy_kind": KIND, "toy_spell": SPELL}[name]
        wanted = list(render_eval(task, task.source.rows(split)))
        assert [(row["example"], row["template"], row["inputs"]) for row in rows] == [
            (r.example, r.template, r.inputs) for r in wanted
        ]
        assert [row["references"] for row in rows] == [list(r.references) for r in wanted]
        assert {row["template"] for row in rows} == {0, 1}, "the third template is turned around"
        assert all(("chosen" in row) == (name == "toy_kind") for row in rows)


def test_the_choice_is_the_option_of_the_highest_score(scorer, stores, tokenizer):
    key = ("toy_kind", "test")
    found = predictions(scorer, {key: stores[key]}, tokenizer)[key]
    for number in (0, 5, 17, 33):
        prompt, options = tokens_of(stores[key], number, tokenizer)
        sums = scorer.log_probs([prompt], [options])[0]
        row = found[number]
        assert row["chosen"] == int(np.argmax(sums))
        assert row["prediction"] == row["options"][row["chosen"]]
        np.testing.assert_allclose(row["scores"], sums, atol=1e-3)
        assert row["options"] == (
            ["no", "yes"] if row["template"] == 0 else ["It is no.", "It is yes."]
        )


def test_what_is_generated_is_the_greedy_continuation(scorer, stores, tokenizer):
    key = ("toy_spell", "test")
    found = predictions(scorer, {key: stores[key]}, tokenizer)[key]
    for number in (0, 7, 25):
        prompt, _ = tokens_of(stores[key], number, tokenizer)
        assert found[number]["prediction"] == tokenizer.decode(
            scorer.generate([prompt], GenerationConfig(LENGTHS["targets"]))[0].tolist()
        )


def test_limits_leave_out_later_rows_and_change_no_other(scorer, stores, tokenizer):
    limits = {key: 5 + i for i, key in enumerate(stores)}
    few, everything = (
        predictions(scorer, stores, tokenizer, limits),
        predictions(scorer, stores, tokenizer),
    )
    for key, rows in few.items():
        assert len(rows) == limits[key]
        for row, same in zip(rows, everything[key], strict=False):
            for name in ("scores", "sums"):
                np.testing.assert_allclose(row.pop(name, []), same.pop(name, []), atol=1e-3)
            assert row == same


class Answers(Scorer):
    """Says that every token is equally probable, so that the sum prefers the shortest answer; keeps what it was asked."""

    def log_probs(self, prompts, answers):
        self.asked = [*getattr(self, "asked", []), (prompts, answers)]
        return [
            np.array([-1.0 * len(a) + 0.01 * a[0] for a in choices], np.float32)
            for choices in answers
        ]


def test_the_mean_ranks_by_the_score_of_a_token(model, params, stores, tokenizer):
    """Here sums are -length + 0.01 x the first token's id: in the mean the lengths cancel and that token decides."""
    key = ("toy_kind", "test")
    scorer = Answers(model, params, make_mesh(), rows=8, eos_id=tokenizer.eos_id)
    for scoring in ("sum", "mean"):
        found = predictions(scorer, {key: stores[key]}, tokenizer, scoring=scoring)[key]
        for number, row in enumerate(found):
            options = tokens_of(stores[key], number, tokenizer)[1]
            sums = np.array([-1.0 * len(o) + 0.01 * o[0] for o in options])
            expected = sums / [len(o) for o in options] if scoring == "mean" else sums
            np.testing.assert_allclose(row["scores"], expected, atol=1e-3)
            assert row["chosen"] == int(np.argmax(expected))
            assert row["tokens"] == [len(o) for o in options]


def test_calibrated_subtracts_what_the_option_scores_after_a_prompt_that_asks_nothing(
    scorer, stores, tokenizer
):
    key = ("toy_kind", "test")
    found = predictions(scorer, {key: stores[key]}, tokenizer, scoring="calibrated")[key]
    plain = predictions(scorer, {key: stores[key]}, tokenizer)[key]
    nothing = np.append(tokenizer.encode("Answer:"), tokenizer.eos_id).astype(np.int32)
    for number in (0, 5, 17, 33):
        prompt, options = tokens_of(stores[key], number, tokenizer)
        sums, priors = (scorer.log_probs([p], [options])[0] for p in (prompt, nothing))
        np.testing.assert_allclose(found[number]["unconditional"], priors, atol=1e-3)
        np.testing.assert_allclose(found[number]["scores"], sums - priors, atol=1e-3)
    for row, other in zip(found, plain, strict=True):
        assert row["sums"] == other["sums"] == other["scores"]
        assert row["chosen"] == int(np.argmax(row["scores"]))
        # Every ranking can be made again from what is kept of a calibrated one.
        assert option_scores(row, "sum") == other["scores"]
        np.testing.assert_allclose(option_scores(row, "calibrated"), row["scores"], atol=1e-4)
        assert option_scores(row, "mean") == [
            a / b for a, b in zip(row["sums"], row["tokens"], strict=True)
        ]
    with pytest.raises(
        InputError, match="hold no unconditional sums; predict again with EvalConfig.scoring"
    ):
        option_scores(plain[0], "calibrated")


def test_each_distinct_option_is_scored_unconditionally_once(model, params, stores, tokenizer):
    scorer = Answers(model, params, make_mesh(), rows=8, eos_id=tokenizer.eos_id)
    key = ("toy_kind", "test")
    predictions(scorer, {key: stores[key]}, tokenizer, scoring="calibrated")
    _, answers = scorer.asked[0]
    asked = [tuple(option.tolist()) for choices in answers for option in choices]
    distinct = {
        tuple(o.tolist()) for row in range(34) for o in tokens_of(stores[key], row, tokenizer)[1]
    }
    assert sorted(asked) == sorted(distinct) and len(distinct) == 4
    assert len(scorer.asked) == 1 + -(-34 // 8), "the rest are the rows' own batches"


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program may handle it."""


class Dying(Scorer):
    """Dies after `lives` batches; counts them."""

    lives = 10**9

    def log_probs(self, prompts, answers):
        return self._live(super().log_probs, prompts, answers)

    def generate(self, prompts, config, streams=None):
        return self._live(super().generate, prompts, config)

    def _live(self, method, *arguments):
        if Dying.lives == 0:
            raise Killed
        Dying.lives -= 1
        return method(*arguments)


@pytest.fixture
def data(stores, tokenizer, monkeypatch):
    """Toy data with the ranked task held out and the generated one trained on."""
    for task in (KIND, SPELL):
        monkeypatch.setitem(TASKS, task.name, task)
    config = DataConfig(
        mixture="toy", held_out="zoo", source="sandbox", data_dir=None, tokenizer=tokenizer.path, lengths=LENGTHS,
        batch_size=8, seed=0, seen_eval_examples=2,
    )  # fmt: skip
    split = Split(train=("toy_spell",), held_out=("toy_kind",), clusters=("zoo",))
    evaluation = {key: store for key, store in stores.items() if key != ("toy_spell", "validation")}
    return MixtureData(
        config=config, split=split, tokenizer=tokenizer, train={}, evaluation=evaluation
    )


@pytest.fixture
def setting_of(model, tokenizer, monkeypatch):
    """setting_of(folder, **EvalConfig): what `score` needs; each batch costs a life of Dying."""
    monkeypatch.setattr(evaluate, "Scorer", Dying)
    monkeypatch.setattr(Dying, "lives", 10**9)
    return lambda folder, **config: EvalContext(
        Run(folder), model, tokenizer, LENGTHS, make_mesh(), EvalConfig(**{"rows": 8} | config)
    )


def files(folder):
    """All that a run holds of scores and predictions."""
    found = [path for name in ("eval", "predictions") for path in (folder / name).iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_what_the_model_does_not_see_the_end_of_is_counted(scorer, stores, tokenizer):
    key = ("toy_kind", "test")
    limit, sizes = {key: len(stores[key])}, stores[key].inputs.lengths
    short = {"inputs": int(np.median(sizes)) + 1, "targets": LENGTHS["targets"]}
    found = predict(scorer, {key: stores[key]}, limit, short, tokenizer)
    assert [row.get("truncated", False) for row in found[key]] == [
        size + 1 > short["inputs"] for size in sizes
    ]
    summary = summarise(KIND, {"test": found[key]})
    assert 0 < summary["truncated"] < 100
    assert summary["truncated"] == pytest.approx(100 * np.mean(sizes + 1 > short["inputs"]))
    options = predict(scorer, {key: stores[key]}, limit, LENGTHS | {"targets": 1}, tokenizer)
    assert all(row["truncated"] for row in options[key])


WEIGHTS = {"seed": 0}


def test_scores_are_written_beside_those_of_before(tmp_path, data, params, setting_of):
    """Before training only the held-out task is scored."""
    setting = setting_of(tmp_path)
    (before,), (after,) = (
        before_training(data, setting.config),
        after_training(data, setting.config),
    )
    assert (before.tasks, after.tasks) == (["toy_kind"], ["toy_kind", "toy_spell"])
    assert not is_scored(setting, before, WEIGHTS)
    score(setting, before, WEIGHTS, params)
    assert is_scored(setting, before, WEIGHTS) and not is_scored(setting, after, WEIGHTS)
    written = read_json(tmp_path / "eval" / "toy_kind.json")
    score(setting, after, WEIGHTS, params)
    assert is_scored(setting, before, WEIGHTS) and is_scored(setting, after, WEIGHTS)
    kind, spell = (read_json(tmp_path / "eval" / f"{name}.json") for name in ROWS)
    assert kind == written | {"after": written["before"]}
    assert {key: kind[key] for key in kind if key not in ("before", "after")} == {
        "task": "toy_kind",
        "cluster": "zoo",
        "held_out": True,
    }
    assert spell == {
        "task": "toy_spell",
        "cluster": "words",
        "held_out": False,
        "after": spell["after"],
    }
    predicted = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert predicted == {
        "toy_kind-before.jsonl", "toy_kind-after.jsonl", "toy_spell-after.jsonl", "before.json", "after.json",
    }  # fmt: skip
    # Of a task trained on, two examples in each template; of a held-out one, all of both splits.
    for task, summary, sizes in (
        (KIND, kind, {"validation": 34, "test": 34}),
        (SPELL, spell, {"test": 2 * 2}),
    ):
        rows = list(read_jsonl(tmp_path / "predictions" / f"{task.name}-after.jsonl"))
        by_split = {split: [row for row in rows if row["split"] == split] for split in sizes}
        assert {split: len(part) for split, part in by_split.items()} == sizes
        assert len(rows) == sum(sizes.values())
        values = (
            {} if task is KIND else {"values": None}
        )  # the tasks trained on are many, and nobody compares them
        assert summarise(task, by_split) | values == summary["after"]


@pytest.mark.parametrize("scoring", ["sum", "calibrated"])
def test_killed_between_any_two_batches_it_goes_on_to_the_same_files(
    tmp_path, data, params, setting_of, scoring
):
    undisturbed = setting_of(tmp_path / "undisturbed", scoring=scoring)
    (evaluation,) = after_training(data, undisturbed.config)
    score(undisturbed, evaluation, WEIGHTS, params)
    batches = 10**9 - Dying.lives
    setting, kills = setting_of(tmp_path / "killed", scoring=scoring), 0
    while not is_scored(setting, evaluation, WEIGHTS):
        Dying.lives = 2
        partial = setting.run.path / "predictions" / "after.partial"
        try:
            score(setting, evaluation, WEIGHTS, params)
        except Killed:
            kills += 1
            with partial.open("a") as file:
                file.write('{"result": [{"pred')  # half a line, as a kill leaves it
    assert kills == (batches - 1) // 2, "what was finished was not predicted again"
    assert files(setting.run.path) == files(undisturbed.run.path)


@pytest.mark.parametrize(
    "change",
    [
        {"scoring": "mean"},
        {"weights": {"seed": 1}},
        {"prompts": Prompts(shots=1)},
        {"limits": 7},
        {"rows": 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nothing_goes_on_from_another_evaluation(tmp_path, data, params, setting_of, change):
    """A partial file, and finished scores, of other parameters, prompts, scoring or rows count for nothing."""
    setting = setting_of(tmp_path / "run")
    (evaluation,) = after_training(data, setting.config)
    Dying.lives = 3
    with pytest.raises(Killed):
        score(setting, evaluation, WEIGHTS, params)
    other = dataclasses.replace(
        setting, config=EvalConfig(rows=change.get("rows", 8), scoring=change.get("scoring", "sum"))
    )
    changed = dataclasses.replace(evaluation, prompts=change.get("prompts", evaluation.prompts))
    if "limits" in change:
        changed = dataclasses.replace(changed, limits=dict.fromkeys(changed.limits, 2))
    weights = change.get("weights", WEIGHTS)
    counted = []
    for run in (other, dataclasses.replace(other, run=Run(tmp_path / "alone"))):
        Dying.lives = 1000
        score(run, changed, weights, params)
        counted.append(1000 - Dying.lives)
    assert counted[0] == counted[1]
    assert files(tmp_path / "run") == files(tmp_path / "alone")
    assert is_scored(other, changed, weights)
    # How many rows are in a batch changes no more than rounding; all else is another evaluation.
    assert is_scored(setting, evaluation, WEIGHTS) == ("rows" in change)


def test_another_evaluation_leaves_nothing_of_the_first(tmp_path, data, params, setting_of):
    """All tasks under one scoring, then one task under another: the second task's scores would be taken for its own."""
    setting = setting_of(tmp_path)
    (evaluation,) = after_training(data, setting.config)
    score(setting, evaluation, WEIGHTS, params)
    mean = dataclasses.replace(setting, config=EvalConfig(rows=8, scoring="mean"))
    kind = dataclasses.replace(
        evaluation, stores={k: s for k, s in evaluation.stores.items() if k[0] == "toy_kind"}
    )
    score(mean, kind, WEIGHTS, params)
    assert "after" not in read_json(tmp_path / "eval" / "toy_spell.json")
    assert not (tmp_path / "predictions" / "toy_spell-after.jsonl").exists()
    # The same evaluation of one task after the other keeps both.
    spell = dataclasses.replace(
        evaluation, stores={k: s for k, s in evaluation.stores.items() if k[0] == "toy_spell"}
    )
    score(mean, spell, WEIGHTS, params)
    assert is_scored(mean, evaluation, WEIGHTS)


def test_further_prompts_are_scored_under_their_own_name(
    tmp_path, data, params, setting_of, stores
):
    more = {"none": Prompts(instructions="none")}
    setting = setting_of(tmp_path, more=more)
    kind = {key: store for key, store in stores.items() if key[0] == "toy_kind"}
    after, none = after_training(dataclasses.replace(data, more={"none": kind}), setting.config)
    for each in (after, none):
        score(setting, each, WEIGHTS, params)
    assert (none.when, none.tasks, none.prompts) == ("after-none", ["toy_kind"], more["none"])
    before = before_training(dataclasses.replace(data, more={"none": kind}), setting.config)
    assert [(each.when, each.tasks) for each in before] == [
        ("before", ["toy_kind"]),
        ("before-none", ["toy_kind"]),
    ]
    scores = read_json(tmp_path / "eval" / "toy_kind.json")
    assert scores["after-none"] == scores["after"], "the prompts here are the same, by another name"
    assert (tmp_path / "predictions" / "toy_kind-after-none.jsonl").exists()
    delete_other_scores(setting.run, ["after"])
    assert "after-none" not in read_json(tmp_path / "eval" / "toy_kind.json")
    assert not list((tmp_path / "predictions").glob("*after-none*"))
    assert is_scored(setting, after, WEIGHTS) and not is_scored(setting, none, WEIGHTS)


def test_scores_before_training_are_shared_by_runs_with_the_same_start(
    tmp_path, data, params, setting_of
):
    (before,) = before_training(data, EvalConfig())
    settings = [
        setting_of(tmp_path / name, untuned_dir=str(tmp_path / "untuned")) for name in "abc"
    ]
    score(settings[0], before, WEIGHTS, params)
    Dying.lives = 0
    score(settings[1], before, WEIGHTS, params)
    assert files(tmp_path / "b") == files(tmp_path / "a")
    with pytest.raises(Killed):
        score(settings[2], before, {"seed": 1}, params)
    with pytest.raises(Killed):  # after training every run is its own
        score(settings[1], after_training(data, settings[1].config)[0], WEIGHTS, params)
    assert len(list((tmp_path / "untuned").iterdir())) == 1


def test_two_runs_that_share_at_the_same_time_spoil_nothing(
    tmp_path, data, params, setting_of, monkeypatch
):
    """The second run finishes while the first is about to put its scores into the shared folder."""
    (before,) = before_training(data, EvalConfig())
    first, second = (
        setting_of(tmp_path / name, untuned_dir=str(tmp_path / "untuned")) for name in "ab"
    )
    rename, share = evaluate.os.rename, []

    def later(source, target):
        if not share:
            share.append(target)
            score(second, before, WEIGHTS, params)
        rename(source, target)

    monkeypatch.setattr(evaluate.os, "rename", later)
    score(first, before, WEIGHTS, params)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (kept,) = (tmp_path / "untuned").iterdir()
    assert {path.name for path in kept.iterdir()} == {"toy_kind.jsonl", "scores.json"}


def test_means_in_between_are_of_a_few_test_examples(tmp_path, data, params, setting_of):
    setting = setting_of(tmp_path, every=5, during_examples=2)
    during = during_training(data, setting.config)
    assert during.limits == {("toy_kind", "test"): 2 * 2}
    done = []
    found = cluster_means(setting, during, params, done.append)
    score(setting, dataclasses.replace(during, when="after"), WEIGHTS, params)
    assert found == {"zoo": read_json(tmp_path / "eval" / "toy_kind.json")["after"]["mean"]}
    assert done[-1] == 4
    nothing = dataclasses.replace(data, split=Split(train=("toy_kind",), held_out=()))
    with pytest.raises(
        InputError, match="EvalConfig.every is 5, but nothing is held out; name a cluster"
    ):
        during_training(nothing, setting.config)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 0}, "EvalConfig.rows is 0; it must be at least 1"),
        ({"every": 0}, "EvalConfig.every is 0; it must be at least 1"),
        ({"during_examples": 0}, "EvalConfig.during_examples is 0"),
        (
            {"scoring": "summ"},
            "unknown EvalConfig.scoring 'summ'. Did you mean 'sum'. Known: calibrated, mean, sum",
        ),
        ({"more": {"a-b": Prompts()}}, "EvalConfig.more is .*'a-b'.*write a name of letters"),
    ],
)
def test_evaluation_settings_that_make_no_sense(wrong, message):
    with pytest.raises(InputError, match=message):
        EvalConfig(**wrong)


def test_a_shared_folder_that_cannot_be_made(tmp_path, data, params, setting_of):
    (tmp_path / "file").write_text("")
    setting = setting_of(tmp_path / "run", untuned_dir=str(tmp_path / "file" / "untuned"))
    with pytest.raises(InputError, match="EvalConfig.untuned_dir .* cannot be written"):
        score(setting, before_training(data, EvalConfig())[0], WEIGHTS, params)
