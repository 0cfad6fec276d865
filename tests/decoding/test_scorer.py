import jax.numpy as jnp
import numpy as np
import pytest
from tiny_models import (
    EOS,
    MODELS,
    PROMPTS,
    as_read,
    logits_of,
    make_scorer,
    token_lists,
    tokens,
)

from flan_jax.decoding import scorer as scorer_module
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.prefill import bucket
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.parallel.mesh import make_mesh
from flan_jax.pytrees import map_named

__all__ = ["logits_of"]  # a fixture


def test_a_mesh_with_split_parameters_generates_the_same():
    config = GenerationConfig(4)
    for name in ("encoder_decoder", "relative"):
        prompts = as_read(name, PROMPTS)
        split = make_scorer(name, mesh={"data": 2, "fsdp": 2, "tensor": 2})
        expected = make_scorer(name).generate(prompts, config)
        assert token_lists(split.generate(prompts, config)) == token_lists(expected)


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
@pytest.mark.parametrize("beams", [1, 2])
def test_parameters_gathered_for_each_token_write_the_same(name, beams, monkeypatch):
    prompts, config = as_read(name, PROMPTS), GenerationConfig(4, num_beams=beams)
    gathers_once = make_scorer(name, mesh={"fsdp": 8})
    monkeypatch.setattr(scorer_module, "memory_of", lambda devices: 0)
    gathers_per_token = make_scorer(name, mesh={"fsdp": 8})
    assert gathers_per_token.gather_per_token and not gathers_once.gather_per_token
    assert not make_scorer(name, mesh={"data": 8}).gather_per_token
    expected = token_lists(gathers_once.generate(prompts, config))
    assert token_lists(gathers_per_token.generate(prompts, config)) == expected


def greedy_tokens(logits_of, name, prompt, length, **kwargs):
    """Greedy tokens with nothing kept from one token to the next."""
    answer = []
    while len(answer) < length:
        logits = logits_of(name, prompt, answer, **kwargs)[-1]
        answer.append(int(np.argmax(logits)))
        if answer[-1] == EOS:
            return answer[:-1]
    return answer


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("eos_bias", [0.0, 2.0])
def test_greedy_takes_the_most_probable_token_each_time(name, eos_bias, logits_of):
    expected = [
        greedy_tokens(logits_of, name, prompt, 11, eos_bias=eos_bias)
        for prompt in PROMPTS
    ]
    scorer = make_scorer(name, eos_bias=eos_bias)
    generated = scorer.generate(as_read(name, PROMPTS), GenerationConfig(11))
    assert token_lists(generated) == expected
    assert len({tuple(row) for row in expected}) == 4, "the prompts should matter"
    if eos_bias:
        lengths = {len(row) for row in expected}
        assert len(lengths) > 1 and min(lengths) < 11, (
            "EOS should come, at different lengths"
        )
    short = scorer.generate(as_read(name, PROMPTS[:1]), GenerationConfig(3))
    assert token_lists(short) == [expected[0][:3]]


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_ends_at_the_first_of_the_stop_ids(beams):
    prompts = as_read("relative", PROMPTS)
    config = GenerationConfig(8, num_beams=beams)
    scorer = make_scorer("relative")
    whole = token_lists(scorer.generate(prompts, config))
    stop = whole[0][3]
    stops = Scorer(
        MODELS["relative"],
        scorer.params,
        make_mesh({"data": 8}),
        rows=4,
        stop_ids=(EOS, stop),
    )
    written = token_lists(stops.generate(prompts, config))
    assert all(stop not in tokens for tokens in written)
    if beams == 1:
        ends = [tokens.index(stop) if stop in tokens else 8 for tokens in whole]
        expected = [tokens[:end] for tokens, end in zip(whole, ends, strict=True)]
        assert written == expected


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
def test_greedy_goes_through_more_prompts_than_it_has_rows(name):
    scorer, config = make_scorer(name), GenerationConfig(4)
    few = token_lists(scorer.generate(as_read(name, PROMPTS), config))
    assert token_lists(scorer.generate(as_read(name, PROMPTS * 3), config)) == few * 3
    assert scorer.generate([], config) == []


def test_a_prompt_that_fills_its_bucket_goes_on_in_the_cache(logits_of):
    """Eight tokens: the ninth position of the cache is the first of the answer."""
    prompt = [5, 6, 7, 8, 9, 10, 11, 1]
    assert bucket(len(prompt)) == len(prompt)
    for name in MODELS:
        generated = make_scorer(name).generate(
            as_read(name, [prompt]), GenerationConfig(8)
        )
        assert token_lists(generated) == [greedy_tokens(logits_of, name, prompt, 8)]


def test_rows_are_rounded_up_to_the_mesh():
    assert [make_scorer("relative", rows=rows).rows for rows in (1, 8, 9)] == [8, 8, 16]
    (sums,) = make_scorer("relative", rows=1).log_probs(tokens([[5]]), [tokens([[6]])])
    assert jnp.isfinite(sums).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda scorer: scorer.generate(tokens([[5], []]), GenerationConfig(4)),
            "a prompt has no tokens",
        ),
        (
            lambda scorer: scorer.generate(
                tokens([[5]]), GenerationConfig(4), streams=[0, 1]
            ),
            "1 prompts have 2 streams",
        ),
        (
            lambda scorer: scorer.generate(tokens([[5]]), GenerationConfig()),
            "max_length is None; write the largest number",
        ),
        (
            lambda scorer: scorer.log_probs(tokens([[5]]), [tokens([[6], []])]),
            "an answer no tokens",
        ),
        (
            lambda scorer: scorer.log_probs(tokens([[5]]), [[]]),
            "a prompt has no answers",
        ),
    ],
)
def test_prompts_and_answers_hold_tokens(call, message):
    with pytest.raises(InputError, match=message):
        call(make_scorer("relative"))


def damaged_scorer(name, path, index, value):
    """A scorer with one value of one parameter replaced."""
    scorer = make_scorer(name)

    def damage(parameter, leaf):
        return leaf.at[index].set(value) if parameter == path else leaf

    scorer.params = map_named(damage, scorer.params)
    return scorer


CALLS = {
    "ranking": lambda scorer, prompts: scorer.log_probs(
        prompts, [tokens([[6, EOS], [7, EOS]])] * len(prompts)
    ),
    "ranking with greedy flags": lambda scorer, prompts: scorer.log_probs_and_greedy(
        prompts, [tokens([[6, EOS], [7, EOS]])] * len(prompts)
    ),
    "greedy": lambda scorer, prompts: scorer.generate(prompts, GenerationConfig(4)),
    "sampling": lambda scorer, prompts: scorer.generate(
        prompts, GenerationConfig(4, temperature=1.0, top_k=3)
    ),
    "beams": lambda scorer, prompts: scorer.generate(
        prompts, GenerationConfig(4, num_beams=2)
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_with_a_nan_answers_nothing_and_names_the_tensor(call, name, value):
    path = "decoder/decoder_norm/scale"
    scorer = damaged_scorer(name, path, 3, value)
    with pytest.raises(InputError, match=f"logits are NaN .* {path}. Take another"):
        call(scorer, as_read(name, PROMPTS))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_one_damaged_token_stops_the_prompts_that_hold_it_alone(call):
    scorer = damaged_scorer("relative", "token_embedder/embedding", (39, 0), np.nan)
    assert len(call(scorer, as_read("relative", [[5, 6, 1]]))) == 1
    with pytest.raises(InputError, match="token_embedder/embedding"):
        call(scorer, as_read("relative", [[5, 6, 1], [5, 39, 1]]))


def test_finite_parameters_that_overflow_are_told_apart_from_damaged_ones():
    scorer = damaged_scorer("relative", "decoder/decoder_norm/scale", 0, 3e38)
    with pytest.raises(InputError, match="overflow when computed in float32"):
        CALLS["greedy"](scorer, as_read("relative", PROMPTS))
