import dataclasses

import numpy as np
import pytest
from toy_evaluation import LENGTHS, MODELS, ROWS, predict
from toy_tasks import KIND, SPELL

from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.evaluation.predictions import Predictor
from flan_jax.evaluation.summaries import summarize_task
from flan_jax.parallel.mesh import make_mesh
from flan_jax.tasks.rendering import render_eval

RANKED = ("toy_kind", "test")
GENERATED = ("toy_spell", "test")


def as_read(scorer, tokens):
    """A prompt as the scorer's model reads it, after PAD if it is a decoder."""
    start = [0] if scorer.architecture == "decoder" else []
    return np.array([*start, *tokens], np.int32)


def tokens_of(store, row, scorer):
    """(the prompt, its options) as the model is to see them."""

    def cut(tokens, length):
        *kept, eos = tokens.tolist()
        return [*kept[: length - 1], eos]

    prompt = as_read(scorer, cut(store.inputs.row(row), LENGTHS["inputs"]))
    options = [
        np.array(cut(option, LENGTHS["targets"]), np.int32)
        for option in store.options(row)
    ]
    return prompt, options


def test_every_row_is_predicted_in_the_stores_order(scorer, stores, tokenizer):
    done = []
    limits = {key: len(store) for key, store in stores.items()}
    predictor = Predictor(
        scorer=scorer,
        row_tokenizer=RowTokenizer(tokenizer, architecture=scorer.architecture),
        lengths=LENGTHS,
    )
    predictions = predictor.predict(stores, limits, progress=done.append)
    counts = {key: len(rows) for key, rows in predictions.items()}
    assert counts == {key: ROWS[key[0]] for key in stores}
    assert done == sorted(done) and done[-1] == sum(limits.values())

    for (name, split), rows in predictions.items():
        task = {"toy_kind": KIND, "toy_spell": SPELL}[name]
        expected = list(render_eval(task, task.source.rows(split)))
        assert [(row.example, row.template, row.inputs) for row in rows] == [
            (row.example, row.template, row.inputs) for row in expected
        ]
        assert [row.references for row in rows] == [
            list(row.references) for row in expected
        ]
        assert {row.template for row in rows} == {0, 1}, (
            "the third template is turned around"
        )
        assert all((row.chosen is not None) == (name == "toy_kind") for row in rows)


def test_the_choice_is_the_option_of_the_highest_score(scorer, stores, tokenizer):
    predictions = predict(scorer, {RANKED: stores[RANKED]}, tokenizer)[RANKED]
    for number in (0, 5, 17, 33):
        prompt, options = tokens_of(stores[RANKED], number, scorer)
        sums = scorer.log_probs([prompt], [options])[0]
        row = predictions[number]
        assert row.chosen == int(np.argmax(sums))
        assert row.prediction == row.options[row.chosen]
        np.testing.assert_allclose(row.scores, sums, atol=1e-3)
        texts = ["no", "yes"] if row.template == 0 else ["It is no.", "It is yes."]
        assert row.options == texts


def test_what_is_generated_is_the_greedy_continuation(scorer, stores, tokenizer):
    predictions = predict(scorer, {GENERATED: stores[GENERATED]}, tokenizer)[GENERATED]
    for number in (0, 7, 25):
        prompt, _ = tokens_of(stores[GENERATED], number, scorer)
        tokens = scorer.generate([prompt], GenerationConfig(LENGTHS["targets"]))[0]
        assert predictions[number].prediction == tokenizer.decode(tokens.tolist())


@pytest.mark.parametrize(
    "generation",
    [
        GenerationConfig(num_beams=3, length_penalty=0.6),
        GenerationConfig(max_length=5, temperature=1.0, seed=4),
    ],
    ids=["beams", "sampling"],
)
def test_generation_follows_its_settings(scorer, stores, tokenizer, generation):
    """Beam search and sampling; what is sampled does not depend on the other rows."""
    settings = {"generation": generation}
    whole = predict(scorer, stores, tokenizer, **settings)[GENERATED]
    few = {GENERATED: 5}
    alone = predict(scorer, {GENERATED: stores[GENERATED]}, tokenizer, few, **settings)[
        GENERATED
    ]
    assert whole[:5] == alone
    assert whole != predict(scorer, stores, tokenizer)[GENERATED], (
        "more than greedy decoding"
    )

    if generation.num_beams > 1:
        prompt, _ = tokens_of(stores[GENERATED], 0, scorer)
        config = dataclasses.replace(generation, max_length=LENGTHS["targets"])
        tokens = scorer.generate([prompt], config)[0]
        assert whole[0].prediction == tokenizer.decode(tokens.tolist())
    else:
        other = dataclasses.replace(generation, seed=5)
        assert whole != predict(scorer, stores, tokenizer, generation=other)[GENERATED]


def test_limits_leave_out_later_rows_and_change_no_other(scorer, stores, tokenizer):
    limits = {key: 5 + i for i, key in enumerate(stores)}
    few = predict(scorer, stores, tokenizer, limits)
    everything = predict(scorer, stores, tokenizer)
    for key, rows in few.items():
        assert len(rows) == limits[key]
        for row, same in zip(rows, everything[key], strict=False):
            for name in ("scores", "sums"):
                np.testing.assert_allclose(
                    getattr(row, name) or [], getattr(same, name) or [], atol=1e-3
                )
            no_sums = {"scores": None, "sums": None}
            assert dataclasses.replace(row, **no_sums) == dataclasses.replace(
                same, **no_sums
            )


class UniformScorer(Scorer):
    """Finds every token about equally probable, so that the sum prefers the shortest answer.

    It keeps what it was asked.
    """

    def log_probs(self, prompts, answers):
        self.asked = [*getattr(self, "asked", []), (prompts, answers)]
        return [
            np.array(
                [-1.0 * len(answer) + 0.01 * answer[0] for answer in options],
                np.float32,
            )
            for options in answers
        ]


def test_the_mean_ranks_by_the_score_of_a_token(model, params, stores, tokenizer):
    """Sums are -length + 0.01 x the first token's id: in the mean that token decides."""
    scorer = UniformScorer(
        model, params, make_mesh(), rows=8, stop_ids=(tokenizer.eos_id,)
    )
    for scoring in ("sum", "mean"):
        rows = predict(scorer, {RANKED: stores[RANKED]}, tokenizer, scoring=scoring)[
            RANKED
        ]
        for number, row in enumerate(rows):
            options = tokens_of(stores[RANKED], number, scorer)[1]
            lengths = [len(option) for option in options]
            expected = np.array(
                [-1.0 * len(option) + 0.01 * option[0] for option in options]
            )
            if scoring == "mean":
                expected = expected / lengths
            np.testing.assert_allclose(row.scores, expected, atol=1e-3)
            assert row.chosen == int(np.argmax(expected))
            assert row.tokens == lengths


def test_calibrated_subtracts_what_the_option_scores_after_a_prompt_that_asks_nothing(
    scorer, stores, tokenizer
):
    calibrated = predict(
        scorer, {RANKED: stores[RANKED]}, tokenizer, scoring="calibrated"
    )[RANKED]
    plain = predict(scorer, {RANKED: stores[RANKED]}, tokenizer)[RANKED]
    nothing = as_read(scorer, [*tokenizer.encode("Answer:"), tokenizer.eos_id])
    for number in (0, 5, 17, 33):
        prompt, options = tokens_of(stores[RANKED], number, scorer)
        sums = scorer.log_probs([prompt], [options])[0]
        priors = scorer.log_probs([nothing], [options])[0]
        np.testing.assert_allclose(calibrated[number].unconditional, priors, atol=1e-3)
        np.testing.assert_allclose(calibrated[number].scores, sums - priors, atol=1e-3)

    for row, other in zip(calibrated, plain, strict=True):
        assert row.sums == other.sums == other.scores
        assert row.chosen == int(np.argmax(row.scores))


def test_each_distinct_option_is_scored_unconditionally_once(stores, tokenizer):
    model = MODELS["decoder"]
    scorer = UniformScorer(model, {}, make_mesh(), rows=8, stop_ids=(tokenizer.eos_id,))
    predict(scorer, {RANKED: stores[RANKED]}, tokenizer, scoring="calibrated")
    _, answers = scorer.asked[0]
    asked = [tuple(option.tolist()) for options in answers for option in options]
    distinct = set()
    for row in range(34):
        options = tokens_of(stores[RANKED], row, scorer)[1]
        distinct |= {tuple(option.tolist()) for option in options}
    assert sorted(asked) == sorted(distinct) and len(distinct) == 4
    assert len(scorer.asked) == 1 + -(-34 // 8), "the rest are the rows' own batches"


def test_what_the_model_does_not_see_the_end_of_is_counted(scorer, stores, tokenizer):
    store, lengths = {RANKED: stores[RANKED]}, stores[RANKED].inputs.lengths
    short = {"inputs": int(np.median(lengths)), "targets": LENGTHS["targets"]}
    rows = predict(scorer, store, tokenizer, lengths=short)[RANKED]
    is_truncated = lengths > short["inputs"]
    assert [row.truncated for row in rows] == is_truncated.tolist()

    scores = summarize_task(KIND, {"test": rows})
    assert 0 < scores.truncated < 100
    assert scores.truncated == pytest.approx(100 * np.mean(is_truncated))
    short_options = predict(scorer, store, tokenizer, lengths=LENGTHS | {"targets": 1})
    assert all(row.truncated for row in short_options[RANKED])
