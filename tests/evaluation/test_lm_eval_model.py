"""The lm-evaluation-harness drives our models to what our own evaluation says of the same items."""

import numpy as np
import pytest

pytest.importorskip("lm_eval", reason="lm_eval is in the test extra")

import datasets
import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from toy_tasks import KIND

from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.data.tokenizers import PRACTICE_MODEL, load_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.evaluation import lm_eval_model
from flan_jax.evaluation.predictions import Predictor
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.tasks.rendering import render_eval
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state
from flan_jax.weights.orbax import save_params

SIZES = {
    "vocab_size": 2048,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=1, **SIZES
    ),
    "decoder": DecoderConfig(num_layers=1, **SIZES),
}
LENGTHS = {"inputs": 32, "targets": 8}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def scorer(model):
    params = init_state(model, adamw(1e-3), make_mesh(), seed=0).params
    # Away from their initial values, at which all options are almost equally probable.
    rng = np.random.default_rng(0)
    params = {name: _moved(tree, rng) for name, tree in params.items()}
    return Scorer(
        model,
        params,
        make_mesh(),
        rows=8,
        stop_ids=(load_tokenizer(PRACTICE_MODEL).eos_id,),
    )


def _moved(tree, rng):
    if isinstance(tree, dict):
        return {name: _moved(part, rng) for name, part in tree.items()}
    return tree + 0.3 * rng.standard_normal(tree.shape).astype(np.float32)


@pytest.fixture(scope="module")
def lm(scorer):
    return lm_eval_model.FlanJaxLM(scorer, rows_of(scorer), LENGTHS)


def rows_of(scorer):
    tokenizer = load_tokenizer(PRACTICE_MODEL)
    return RowTokenizer(tokenizer, architecture=scorer.architecture)


def as_read(scorer, tokens):
    """A prompt as the scorer's model reads it, after PAD if it is a decoder."""
    start = [0] if scorer.architecture == "decoder" else []
    return np.array([*start, *tokens], np.int32)


def ask(*arguments):
    return [Instance("loglikelihood", {}, each, 0) for each in arguments]


def rows():
    return [
        row for row in render_eval(KIND, KIND.source.rows("test")) if row.template == 0
    ]


def task():
    """The first template of the toy task, as the harness describes multiple choice."""
    local = [
        {"inputs": r.inputs, "options": list(r.options), "answer": r.correct_option}
        for r in rows()
    ]
    return ConfigurableTask(
        config={
            "task": "toy_kind",
            "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(local)},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{inputs}}",
            "doc_to_choice": "{{options}}",
            "doc_to_target": "answer",
            "metric_list": [{"metric": "acc"}],
        }
    )


def test_the_harness_chooses_as_our_own_evaluation_does(lm, scorer, tmp_path):
    tokenizer = load_tokenizer(PRACTICE_MODEL)
    (store,) = prepare(
        [Request(KIND, "test", "eval")],
        RowTokenizer(tokenizer),
        tmp_path,
        workers=0,
        progress=False,
    ).values()
    key = ("toy_kind", "test")
    predictor = Predictor(scorer=scorer, row_tokenizer=rows_of(scorer), lengths=LENGTHS)
    predictions = predictor.predict({key: store}, {key: len(store)})[key]
    own = [row for row in predictions if row.template == 0]
    found = lm_eval.simple_evaluate(model=lm, tasks=[task()], bootstrap_iters=0)
    samples = sorted(found["samples"]["toy_kind"], key=lambda sample: sample["doc_id"])
    assert [sample["doc"]["inputs"] for sample in samples] == [
        row.inputs for row in own
    ]
    theirs = np.array(
        [[answer[0] for answer in sample["filtered_resps"]] for sample in samples],
        float,
    )
    np.testing.assert_allclose(theirs, [row.sums for row in own], atol=1e-4)
    assert [int(sums.argmax()) for sums in theirs] == [row.chosen for row in own]
    right = np.mean([row.chosen == row.answer for row in own])
    assert found["results"]["toy_kind"]["acc,none"] == pytest.approx(right)


def test_a_continuation_is_greedy_when_decoding_gives_it(lm, scorer):
    tokenizer = load_tokenizer(PRACTICE_MODEL)
    contexts = ["Does a cat fly?", "Does a hen fly?", "A"]
    prompts = [
        as_read(scorer, [*tokenizer.encode(text), tokenizer.eos_id])
        for text in contexts
    ]
    generated = scorer.generate(prompts, GenerationConfig(LENGTHS["targets"]))
    texts = [tokenizer.decode(tokens.tolist()) for tokens in generated]
    pairs = list(zip(contexts, texts, strict=True))
    pairs += [(context, "surely not so") for context in contexts]
    results = lm.loglikelihood(ask(*pairs))

    expected = []
    for prompt, (_, text) in zip([*prompts, *prompts], pairs, strict=True):
        answer = np.append(
            tokenizer.encode(text)[: LENGTHS["targets"] - 1], tokenizer.eos_id
        )
        (alone,) = scorer.generate([prompt], GenerationConfig(len(answer)))
        greedy = np.append(alone, tokenizer.eos_id)[: len(answer)]
        expected.append(np.array_equal(greedy, answer))
    assert [is_greedy for _, is_greedy in results] == expected
    assert all(total < 0 for total, _ in results)


def test_a_long_text_is_scored_in_pieces(lm, scorer):
    """Each token is scored once.

    The total is the pieces' sums, each after the tokens that the harness's windows put before it.
    """
    tokenizer = load_tokenizer(PRACTICE_MODEL)
    text = "The hen and the jay have wings, the cat and the dog and the eel and the fox have none."
    short = "A hen."
    tokens, size = tokenizer.encode(text), LENGTHS["targets"]
    assert len(tokens) > 2 * size
    total = 0.0
    for start in range(0, len(tokens), size):
        piece = tokens[start : start + size]
        before = tokens[max(start - (size - len(piece)) - 1, 0) : start]
        prompt = as_read(scorer, [*before, tokenizer.eos_id])
        total += float(scorer.log_probs([prompt], [[np.array(piece, np.int32)]])[0][0])
    empty_prompt = as_read(scorer, [tokenizer.eos_id])
    short_tokens = np.array(tokenizer.encode(short), np.int32)
    (alone,) = scorer.log_probs([empty_prompt], [[short_tokens]])
    totals = lm.loglikelihood_rolling(ask((text,), (short,), ("",)))
    np.testing.assert_allclose(totals, [total, alone[0], 0.0], atol=1e-4)


def test_generation_ends_at_the_first_stop(lm, monkeypatch):
    monkeypatch.setattr(
        type(lm._tokenizer), "decode", lambda self, ids: f"{len(list(ids))} yes. no\n"
    )
    whole, cut, none = lm.generate_until(
        ask(
            (
                "Does a hen fly?",
                {
                    "until": ["\n\n"],
                    "do_sample": False,
                    "temperature": 0.0,
                    "max_gen_toks": 4,
                },
            ),
            ("Does a hen fly?", {"until": [" no", "."], "max_gen_toks": 4}),
            ("Does a hen fly?", {"until": " yes"}),
        )
    )
    assert (whole[-9:], cut[-4:]) == (" yes. no\n", " yes")
    assert int(whole[0]) <= 4 and none.isdigit() and int(none) <= LENGTHS["targets"]
    with pytest.raises(
        InputError,
        match="unknown setting in generation_kwargs 'tempratur'. Did you mean 'temperature'",
    ):
        lm.generate_until(ask(("A", {"tempratur": 1.0})))


def test_a_checkpoint_is_a_model(tmp_path, model, scorer, lm):
    save_params(tmp_path / "run", scorer.params)
    loaded = lm_eval_model.from_checkpoint(
        str(tmp_path / "run"), model, str(PRACTICE_MODEL), LENGTHS, rows=8
    )
    pairs = ask(("Does a hen fly?", " yes"), ("Does a cat fly?", " no"))
    assert loaded.loglikelihood(pairs) == lm.loglikelihood(pairs)
