"""The lm-evaluation-harness drives our models to what our own evaluation says of the same items."""

import numpy as np
import pytest

pytest.importorskip("lm_eval", reason="lm_eval is in the test extra")

import datasets
import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from toy_tasks import KIND

from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import PRACTICE_MODEL, load_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.evaluation import lm_eval_model
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.tasks.rendering import render_eval
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state
from flan_jax.weights.orbax import save_params

SIZES = {
    "vocab_size": 4096,
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


def tokens_of(scorer, context, continuation):
    """(the tokens of a context as the model reads it, those of the continuation), by hand."""
    tokenizer = load_tokenizer(PRACTICE_MODEL)
    before = tokenizer.encode(context)
    if scorer.architecture == "encoder_decoder":
        context_tokens = [*before, tokenizer.eos_id]
        tokens = tokenizer.encode(continuation)
    else:
        context_tokens = before
        tokens = tokenizer.encode(context + continuation)[len(before) :]
    return as_read(scorer, context_tokens), np.array(tokens, np.int32)


def test_the_harness_chooses_by_the_sums_of_its_continuations(lm, scorer):
    found = lm_eval.simple_evaluate(model=lm, tasks=[task()], bootstrap_iters=0)
    samples = sorted(found["samples"]["toy_kind"], key=lambda sample: sample["doc_id"])
    theirs = np.array(
        [[answer[0] for answer in sample["filtered_resps"]] for sample in samples],
        float,
    )
    expected = []
    for row in rows():
        pairs = [tokens_of(scorer, row.inputs, f" {text}") for text in row.options]
        prompt = pairs[0][0]
        options = [tokens for _, tokens in pairs]
        (sums,) = scorer.log_probs([prompt], [options])
        expected.append(sums)
    np.testing.assert_allclose(theirs, expected, atol=1e-4)

    right = [
        row.correct_option == np.argmax(sums)
        for row, sums in zip(rows(), expected, strict=True)
    ]
    assert found["results"]["toy_kind"]["acc,none"] == pytest.approx(np.mean(right))


def test_a_continuation_is_greedy_when_decoding_gives_it(lm, scorer):
    contexts = ["Does a cat fly?", "Does a hen fly?", "A"]
    results = []
    expected = []
    for context in contexts:
        prompt, _ = tokens_of(scorer, context, " yes")
        (greedy,) = scorer.generate([prompt], GenerationConfig(3))
        request = (None, prompt.tolist(), greedy.tolist())
        other = (None, prompt.tolist(), [*greedy[:-1].tolist(), int(greedy[-1]) ^ 1])
        results += lm._loglikelihood_tokens([request, other])
        expected += [True, False]
    assert [is_greedy for _, is_greedy in results] == expected
    assert {type(is_greedy) for _, is_greedy in results} == {bool}
    assert all(log_prob < 0 for log_prob, _ in results)


def test_log_likelihoods_generate_no_text(lm, scorer, monkeypatch):
    def generate(*args):
        raise AssertionError("text was generated")

    monkeypatch.setattr(scorer, "generate", generate)
    (result,) = lm.loglikelihood(ask(("Does a hen fly?", " yes")))
    assert result[0] < 0


def test_long_contexts_lose_their_beginning(lm, scorer):
    """The question at the end stays, so that different questions have different answers."""
    shots = "Does a cat fly? no\n\n" * 9
    asked = [f"{shots}Does a hen fly?", f"{shots}Does an eel swim?"]
    sums = [
        one for one, _ in lm.loglikelihood(ask(*((text, " yes") for text in asked)))
    ]
    prompt, tokens = tokens_of(scorer, asked[0], " yes")
    room = LENGTHS["inputs"]
    if scorer.architecture == "decoder":
        room = sum(LENGTHS.values()) + 1 - len(tokens)
    (expected,) = scorer.log_probs([prompt[-room:]], [[tokens]])
    assert len(prompt) > room
    assert sums[0] == pytest.approx(expected[0], abs=1e-4)
    assert abs(sums[0] - sums[1]) > 1e-3


def test_continuations_are_never_cut(lm, scorer):
    """Two that differ after many tokens have different sums; one without room is refused."""
    same = " the cat and the dog and the eel"
    longer = [f"{same} fly", f"{same} swim"]
    first, second = lm.loglikelihood(ask(*(("Do", text) for text in longer)))
    assert first[0] != second[0]
    if scorer.architecture == "decoder":
        with pytest.raises(InputError, match="Continuations are never cut"):
            lm.loglikelihood(ask(("Do", same * 9)))


def test_a_long_text_is_scored_in_pieces(lm, scorer):
    """Each token is scored once, and the pieces follow the token that stands before them."""
    tokenizer = load_tokenizer(PRACTICE_MODEL)
    text = (
        "The hen and the jay have wings, the cat and the dog and the eel have none." * 4
    )
    short = "A hen."
    start = [0] if scorer.architecture == "decoder" else []
    end = [tokenizer.eos_id] if scorer.architecture == "encoder_decoder" else []
    size = lm.max_length
    total = 0.0
    tokens = [*start, *tokenizer.encode(text), *end]
    assert len(tokens) > 2 * size
    for first in range(0, len(tokens), size):
        piece = tokens[first : first + size]
        before = tokens[max(first - (size - len(piece)) - 1, 0) : first]
        prompt = np.array(before or [lm.prefix_token_id], np.int32)
        (sums,) = scorer.log_probs([prompt], [[np.array(piece, np.int32)]])
        total += float(sums[0])

    short_tokens = [*start, *tokenizer.encode(short), *end]
    prefix = np.array([lm.prefix_token_id], np.int32)
    (alone,) = scorer.log_probs([prefix], [[np.array(short_tokens, np.int32)]])
    totals = lm.loglikelihood_rolling(ask((text,), (short,)))
    np.testing.assert_allclose(totals, [total, alone[0]], rtol=1e-5)


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
    (as_text,) = lm.generate_until(
        ask(("Does a hen fly?", {"max_gen_toks": "4", "do_sample": "False"}))
    )
    assert as_text == whole
    with pytest.raises(InputError, match="max_gen_toks='many'; write a number"):
        lm.generate_until(ask(("A", {"max_gen_toks": "many"})))
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
