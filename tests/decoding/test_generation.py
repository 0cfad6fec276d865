"""Sampling and beam search, against what the whole model says without a cache."""

import jax
import numpy as np
import pytest
from test_decoding import EOS, MODELS, PROMPTS, logits_of, scorer, tokens

from flan_jax.decoding.generation import GenerationConfig
from flan_jax.errors import InputError

__all__ = ["logits_of"]  # a fixture


def plain_beams(log_probs_of, max_length, beams, penalty):
    """The rules of transformers' beam search for one prompt, in lists; log_probs_of(tokens) is float[V]."""
    running, finished = [(0.0, [])], []
    for length in range(1, max_length + 1):
        each = [
            (score + step, [*written, token])
            for score, written in running
            for token, step in enumerate(log_probs_of(written))
        ]
        each = sorted(each, key=lambda one: -one[0])[: 2 * beams]
        ended = [one for one in each[:beams] if one[1][-1] == EOS or length == max_length]
        finished += [(score / length**penalty, written) for score, written in ended]
        finished = sorted(finished, key=lambda one: -one[0])[:beams]
        running = [one for one in each if one[1][-1] != EOS][:beams]
        if len(finished) == beams and running[0][0] / length**penalty <= finished[-1][0]:
            break
    best = finished[0][1]
    return best[:-1] if best[-1] == EOS else best


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("penalty", [0.6, 1.5])
def test_beam_search_is_that_of_the_whole_model(name, penalty, logits_of):
    """The cache follows the beams, with layers scanned and unrolled; prompts of different lengths in one batch."""
    bias, prompts = 2.0, PROMPTS[:3]
    one, greedy = scorer(name, eos_bias=bias), GenerationConfig(8)
    got = one.generate(tokens(prompts), GenerationConfig(8, num_beams=3, length_penalty=penalty))

    def search(prompt):
        def log_probs_of(written):
            return np.asarray(
                jax.nn.log_softmax(logits_of(name, prompt, written, eos_bias=bias)[-1])
            )

        return plain_beams(log_probs_of, 8, 3, penalty)

    expected = [search(prompt) for prompt in prompts]
    assert [row.tolist() for row in got] == expected
    assert expected != [row.tolist() for row in one.generate(tokens(prompts), greedy)], (
        "more than greedy decoding"
    )


def chi_square(counts, probabilities):
    """How many standard deviations the statistic lies above its mean; rare tokens are pooled."""
    expected = counts.sum() * probabilities
    rare = expected < 5
    counts, expected = (np.append(each[~rare], each[rare].sum()) for each in (counts, expected))
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = len(counts) - 1
    return (np.sum((counts - expected) ** 2 / expected) - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, None), (0.5, None, None), (1.5, 6, None), (1.0, 20, 0.8)],
)
def test_tokens_are_sampled_with_their_probabilities(temperature, top_k, top_p, logits_of):
    """The first token, and the second after the most frequent first one."""
    prompt, many = PROMPTS[1], 6000
    config = GenerationConfig(2, temperature=temperature, top_k=top_k, top_p=top_p, seed=3)
    rows = scorer("rope", rows=2000).generate(tokens([prompt]) * many, config)
    firsts = np.array([row[0] if len(row) else EOS for row in rows])
    common = int(np.bincount(firsts[firsts != EOS]).argmax())
    seconds = np.array(
        [row[1] if len(row) > 1 else EOS for row in rows if len(row) and row[0] == common]
    )
    assert len(seconds) > 300
    for drawn, written in ((firsts, []), (seconds, [common])):
        probabilities = np.asarray(
            jax.nn.softmax(logits_of("rope", prompt, written)[-1] / temperature)
        )
        order = np.argsort(-probabilities)
        kept = order[: top_k or len(order)]
        if top_p is not None:
            share = np.cumsum(probabilities[kept]) / probabilities[kept].sum()
            kept = kept[: np.searchsorted(share, top_p) + 1]
        allowed = np.isin(np.arange(len(order)), kept)
        assert allowed[drawn].all()
        probabilities = np.where(allowed, probabilities, 0.0)
        probabilities /= probabilities.sum()
        assert chi_square(np.bincount(drawn, minlength=len(order)), probabilities) < 4
        # The test can tell: a temperature a fifth higher would not do.
        other = probabilities ** (1 / 1.2)
        assert chi_square(
            np.bincount(firsts, minlength=len(order)), other / other.sum()
        ) > 4 or len(written)


def test_a_sample_depends_on_prompt_seed_and_stream_alone():
    config = GenerationConfig(6, temperature=1.0, seed=5)
    prompts = tokens(PROMPTS * 3)
    rows = [row.tolist() for row in scorer("relative", rows=8).generate(prompts, config)]
    assert [row.tolist() for row in scorer("relative", rows=16).generate(prompts, config)] == rows
    assert len({tuple(row) for row in rows[::4]}) == 3, "the same prompt is answered in three ways"
    few = scorer("relative").generate(prompts[7:4:-1], config, streams=[7, 6, 5])
    assert [row.tolist() for row in few] == rows[7:4:-1]
    other = scorer("relative").generate(prompts, GenerationConfig(6, temperature=1.0, seed=6))
    assert [row.tolist() for row in other] != rows


def test_a_low_temperature_and_one_token_to_choose_from_are_greedy():
    one = scorer("encoder_decoder")
    expected = [row.tolist() for row in one.generate(tokens(PROMPTS), GenerationConfig(7))]
    for settings in (
        {"temperature": 1e-4},
        {"temperature": 2.0, "top_k": 1},
        {"temperature": 2.0, "top_p": 1e-6},
    ):
        got = one.generate(tokens(PROMPTS), GenerationConfig(7, **settings))
        assert [row.tolist() for row in got] == expected


def test_numbers_change_without_compiling_again():
    one, sizes = scorer("relative"), []
    function, _ = one.writing(
        tokens(PROMPTS), GenerationConfig(5, temperature=1.0), range(len(PROMPTS))
    )
    for max_length, temperature, seed in ((5, 0.7, 0), (8, 1.3, 1), (3, 0.2, 2)):
        rows = one.generate(
            tokens(PROMPTS), GenerationConfig(max_length, temperature=temperature, seed=seed)
        )
        assert max(map(len, rows)) <= max_length
        sizes.append(function._cache_size())
    assert sizes == sizes[:1] * 3 and sizes[0] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 0}, "max_length is 0; write a whole number of at least 1"),
        ({"num_beams": True}, "num_beams is True; write a whole number"),
        ({"temperature": 1.0, "top_k": 0}, "top_k is 0; write a whole number of at least 1"),
        ({"temperature": -1.0}, "temperature is -1.0; write 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0; write a probability"),
        ({"top_p": 0.9}, "top_p=0.9 but temperature=0.0"),
        ({"temperature": 1.0, "num_beams": 2}, "beam search does not sample"),
        ({"length_penalty": 0.6}, "length_penalty=0.6 but num_beams=1"),
        ({"num_beams": 2, "length_penalty": float("inf")}, "length_penalty is inf"),
        ({"seed": -1}, "seed is -1; write a whole number of at least 0"),
        ({"seed": 2**32}, "write a whole number below"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        GenerationConfig(**{"max_length": 4} | settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda one: one.generate(tokens([[5], []]), GenerationConfig(4)),
            "a prompt has no tokens",
        ),
        (
            lambda one: one.generate(tokens([[5]]), GenerationConfig(4), streams=[0, 1]),
            "1 prompts have 2 streams",
        ),
        (lambda one: one.log_probs(tokens([[5]]), [tokens([[6], []])]), "an answer no tokens"),
        (lambda one: one.log_probs(tokens([[5]]), [[]]), "a prompt has no answers"),
    ],
)
def test_prompts_and_answers_hold_tokens(call, message):
    with pytest.raises(InputError, match=message):
        call(scorer("relative"))
