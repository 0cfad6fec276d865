import dataclasses

import numpy as np
import pytest
from data.toy_tasks import KIND, SPELL

from flan_jax.data.clusters import Split
from flan_jax.data.mixture_data import DataConfig, MixtureData
from flan_jax.data.prepare import prepare
from flan_jax.data.rendering import render_eval, render_train
from flan_jax.data.selection import Request
from flan_jax.data.store import trim_and_append_eos
from flan_jax.data.tasks import TASKS
from flan_jax.data.tokenizers import load_tokenizer, train_tokenizer
from flan_jax.decoding import Scorer
from flan_jax.errors import InputError
from flan_jax.evaluate import EvalConfig, is_scored, predict, score
from flan_jax.generation import GenerationConfig
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.optim import adamw
from flan_jax.partitioning import make_mesh
from flan_jax.run import Run, read_json, read_jsonl
from flan_jax.summaries import summarise
from flan_jax.train_state import init_state

SIZES = {"vocab_size": 400, "emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 24, "dropout_rate": 0.0}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=1, **SIZES),
    "decoder": DecoderConfig(num_layers=1, **SIZES),
}
LENGTHS = {"inputs": 32, "targets": 16}
ROWS = {"toy_kind": 2 * 17, "toy_spell": 2 * 13}  # templates that ask for the answer x kept examples


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    rows = [row for task in (KIND, SPELL) for row in render_train(task, task.source.rows("train"), renderings=3)]
    path = tmp_path_factory.mktemp("tokenizer") / "toy.model"
    train_tokenizer([text for row in rows for text in (row.inputs, row.targets)], path, vocab_size=400)
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def stores(tokenizer, tmp_path_factory):
    """The evaluation stores of a ranked and of a generated task, by (task, split)."""
    requests = [Request(task, split, "eval") for task in (KIND, SPELL) for split in ("validation", "test")]
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


def predictions(scorer, stores, tokenizer, limits=None, **config):
    limits = limits or {key: len(store) for key, store in stores.items()}
    return predict(scorer, stores, limits, LENGTHS, tokenizer, EvalConfig(**{"rows": 8} | config))


def tokens_of(store, row, tokenizer):
    """(the prompt, its options) as the model is to see them."""
    prompt = trim_and_append_eos(store.inputs.row(row), LENGTHS["inputs"], tokenizer.eos_id)
    return prompt, [trim_and_append_eos(o, LENGTHS["targets"], tokenizer.eos_id) for o in store.options(row)]


def test_every_row_is_predicted_in_the_stores_order(scorer, stores, tokenizer):
    done = []
    limits = {key: len(store) for key, store in stores.items()}
    found = predict(scorer, stores, limits, LENGTHS, tokenizer, EvalConfig(rows=8), done.append)
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
        assert row["options"] == (["no", "yes"] if row["template"] == 0 else ["It is no.", "It is yes."])


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
    few, everything = predictions(scorer, stores, tokenizer, limits), predictions(scorer, stores, tokenizer)
    for key, rows in few.items():
        assert len(rows) == limits[key]
        for row, same in zip(rows, everything[key], strict=False):
            np.testing.assert_allclose(row.pop("scores", []), same.pop("scores", []), atol=1e-3)
            assert row == same


class Answers(Scorer):
    """Says that every token is equally probable, so that the sum prefers the shortest answer."""

    def log_probs(self, prompts, answers):
        return [np.array([-1.0 * len(a) + 0.01 * a[0] for a in choices], np.float32) for choices in answers]


def test_length_normalisation_ranks_by_the_score_of_a_token(model, params, stores, tokenizer):
    """Here sums are -length + 0.01 x the first token's id: normalised, the lengths cancel and that token decides."""
    key = ("toy_kind", "test")
    scorer = Answers(model, params, make_mesh(), rows=8, eos_id=tokenizer.eos_id)
    for normalised in (False, True):
        found = predictions(scorer, {key: stores[key]}, tokenizer, length_normalised=normalised)[key]
        for number, row in enumerate(found):
            options = tokens_of(stores[key], number, tokenizer)[1]
            sums = np.array([-1.0 * len(o) + 0.01 * o[0] for o in options])
            expected = sums / [len(o) for o in options] if normalised else sums
            np.testing.assert_allclose(row["scores"], expected, atol=1e-3)
            assert row["chosen"] == int(np.argmax(expected))


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
    return MixtureData(config=config, split=split, tokenizer=tokenizer, train={}, evaluation=evaluation)


def test_scores_are_written_beside_those_of_before(tmp_path, data, model, params):
    """Before training only the held-out task is scored, here."""
    run, mesh, config = Run(tmp_path), make_mesh(), EvalConfig(rows=8)
    assert not is_scored(run, "before", ["toy_kind"])
    score(run, model, data, LENGTHS, mesh, config, "before", params, ["toy_kind"])
    assert is_scored(run, "before", ["toy_kind"]) and not is_scored(run, "before", list(ROWS))
    assert not is_scored(run, "after", ["toy_kind"])
    before = read_json(tmp_path / "eval" / "toy_kind.json")
    score(run, model, data, LENGTHS, mesh, config, "after", params, list(ROWS))
    assert is_scored(run, "before", ["toy_kind"]) and is_scored(run, "after", list(ROWS))
    kind, spell = (read_json(tmp_path / "eval" / f"{name}.json") for name in ROWS)
    assert kind == before | {"after": before["before"]}
    assert {key: kind[key] for key in kind if key not in ("before", "after")} == {
        "task": "toy_kind",
        "cluster": "zoo",
        "held_out": True,
    }
    assert spell == {"task": "toy_spell", "cluster": "words", "held_out": False, "after": spell["after"]}
    written = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert written == {"toy_kind-before.jsonl", "toy_kind-after.jsonl", "toy_spell-after.jsonl"}
    # Of a task trained on, two examples in each template; of a held-out one, all of both splits.
    for task, summary, sizes in ((KIND, kind, {"validation": 34, "test": 34}), (SPELL, spell, {"test": 2 * 2})):
        rows = list(read_jsonl(tmp_path / "predictions" / f"{task.name}-after.jsonl"))
        by_split = {split: [row for row in rows if row["split"] == split] for split in sizes}
        assert {split: len(part) for split, part in by_split.items()} == sizes
        assert len(rows) == sum(sizes.values())
        values = {} if task is KIND else {"values": None}  # the tasks trained on are many, and nobody compares them
        assert summarise(task, by_split) | values == summary["after"]


def test_an_evaluation_needs_rows():
    with pytest.raises(InputError, match="EvalConfig.rows is 0; it must be at least 1"):
        EvalConfig(rows=0)
    assert dataclasses.asdict(EvalConfig()) == {"rows": 32, "length_normalised": False}
