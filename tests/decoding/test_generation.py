"""Sampling and beam search, against what the whole model says without a cache."""

import jax
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
)

from flan_jax.decoding.generation import GenerationConfig
from flan_jax.errors import InputError

__all__ = ["logits_of"]  # a fixture


def beam_search_in_lists(log_probs_of, max_length, beams, penalty):
    """The rules of transformers' beam search for one prompt; log_probs_of(tokens) is float[V]."""
    running = [(0.0, [])]
    finished = []
    for length in range(1, max_length + 1):
        extensions = [
            (score + step, [*written, token])
            for score, written in running
            for token, step in enumerate(log_probs_of(written))
        ]
        best = sorted(extensions, key=lambda extension: -extension[0])[: 2 * beams]
        for score, written in best[:beams]:
            if written[-1] == EOS or length == max_length:
                finished.append((score / length**penalty, written))
        finished = sorted(finished, key=lambda text: -text[0])[:beams]
        running = [extension for extension in best if extension[1][-1] != EOS][:beams]
        if (
            len(finished) == beams
            and running[0][0] / length**penalty <= finished[-1][0]
        ):
            break
    tokens = finished[0][1]
    return tokens[:-1] if tokens[-1] == EOS else tokens


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("penalty", [0.6, 1.5])
def test_beam_search_is_that_of_the_whole_model(name, penalty, logits_of):
    """The cache follows the beams, with layers scanned and unrolled.

    Prompts of different lengths are in one batch.
    """
    bias, prompts = 2.0, PROMPTS[:3]
    scorer = make_scorer(name, eos_bias=bias)
    config = GenerationConfig(8, num_beams=3, length_penalty=penalty)
    generated = token_lists(scorer.generate(as_read(name, prompts), config))

    def expected(prompt):
        def log_probs_of(written):
            logits = logits_of(name, prompt, written, eos_bias=bias)[-1]
            return np.asarray(jax.nn.log_softmax(logits))

        return beam_search_in_lists(log_probs_of, 8, 3, penalty)

    assert generated == [expected(prompt) for prompt in prompts]
    greedy = token_lists(scorer.generate(as_read(name, prompts), GenerationConfig(8)))
    assert generated != greedy, "more than greedy decoding"


def chi_square(counts, probabilities):
    """How many standard deviations the statistic lies above its mean; rare tokens are pooled."""
    expected = counts.sum() * probabilities
    is_rare = expected < 5
    counts = np.append(counts[~is_rare], counts[is_rare].sum())
    expected = np.append(expected[~is_rare], expected[is_rare].sum())
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = len(counts) - 1
    return (np.sum((counts - expected) ** 2 / expected) - freedom) / np.sqrt(
        2 * freedom
    )


def restricted_probabilities(logits, temperature, top_k, top_p):
    """(the probabilities with which tokens are sampled, whether each token may be)."""
    probabilities = np.asarray(jax.nn.softmax(logits / temperature))
    order = np.argsort(-probabilities)
    kept = order[: top_k or len(order)]
    if top_p is not None:
        share = np.cumsum(probabilities[kept]) / probabilities[kept].sum()
        kept = kept[: np.searchsorted(share, top_p) + 1]
    is_allowed = np.isin(np.arange(len(order)), kept)
    probabilities = np.where(is_allowed, probabilities, 0.0)
    return probabilities / probabilities.sum(), is_allowed


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, None), (0.5, None, None), (1.5, 6, None), (1.0, 20, 0.8)],
)
def test_tokens_are_sampled_with_their_probabilities(
    temperature, top_k, top_p, logits_of
):
    """The first token, and the second after the most frequent first one."""
    prompt, many = PROMPTS[1], 6000
    config = GenerationConfig(
        2, temperature=temperature, top_k=top_k, top_p=top_p, seed=3
    )
    rows = make_scorer("rope", rows=2000).generate(
        as_read("rope", [prompt]) * many, config
    )
    firsts = np.array([row[0] if len(row) else EOS for row in rows])
    common = int(np.bincount(firsts[firsts != EOS]).argmax())
    continued = [row for row in rows if len(row) and row[0] == common]
    seconds = np.array([row[1] if len(row) > 1 else EOS for row in continued])
    assert len(seconds) > 300

    for drawn, written in ((firsts, []), (seconds, [common])):
        logits = logits_of("rope", prompt, written)[-1]
        probabilities, is_allowed = restricted_probabilities(
            logits, temperature, top_k, top_p
        )
        assert is_allowed[drawn].all()
        counts = np.bincount(drawn, minlength=len(probabilities))
        assert chi_square(counts, probabilities) < 4
        if not written:
            # The test can tell: a temperature a fifth higher would not do.
            other = probabilities ** (1 / 1.2)
            assert chi_square(counts, other / other.sum()) > 4


def test_a_sample_depends_on_prompt_seed_and_stream_alone():
    config = GenerationConfig(6, temperature=1.0, seed=5)
    prompts = as_read("relative", PROMPTS * 3)
    rows = token_lists(make_scorer("relative", rows=8).generate(prompts, config))
    assert (
        token_lists(make_scorer("relative", rows=16).generate(prompts, config)) == rows
    )
    assert len({tuple(row) for row in rows[::4]}) == 3, (
        "the same prompt is answered in three ways"
    )
    few = make_scorer("relative").generate(prompts[7:4:-1], config, streams=[7, 6, 5])
    assert token_lists(few) == rows[7:4:-1]
    other_seed = GenerationConfig(6, temperature=1.0, seed=6)
    assert token_lists(make_scorer("relative").generate(prompts, other_seed)) != rows


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1e-4},
        {"temperature": 2.0, "top_k": 1},
        {"temperature": 2.0, "top_p": 1e-6},
    ],
)
def test_a_low_temperature_and_one_token_to_choose_from_are_greedy(settings):
    scorer = make_scorer("encoder_decoder")
    expected = token_lists(
        scorer.generate(as_read("encoder_decoder", PROMPTS), GenerationConfig(7))
    )
    generated = scorer.generate(
        as_read("encoder_decoder", PROMPTS), GenerationConfig(7, **settings)
    )
    assert token_lists(generated) == expected


def test_numbers_change_without_compiling_again():
    scorer, sizes = make_scorer("relative"), []
    sampling = GenerationConfig(5, temperature=1.0)
    program, _ = scorer.generation_program(
        as_read("relative", PROMPTS), sampling, range(len(PROMPTS))
    )
    for max_length, temperature, seed in ((5, 0.7, 0), (8, 1.3, 1), (3, 0.2, 2)):
        config = GenerationConfig(max_length, temperature=temperature, seed=seed)
        rows = scorer.generate(as_read("relative", PROMPTS), config)
        assert max(map(len, rows)) <= max_length
        sizes.append(program._cache_size())
    assert sizes == sizes[:1] * 3 and sizes[0] > 0


def test_the_length_is_that_of_the_caller_unless_it_is_set():
    assert GenerationConfig().with_default_length(16) == GenerationConfig(max_length=16)
    assert GenerationConfig(4).with_default_length(16) == GenerationConfig(max_length=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 0}, "max_length is 0; write a whole number of at least 1"),
        ({"num_beams": True}, "num_beams is True; write a whole number"),
        (
            {"temperature": 1.0, "top_k": 0},
            "top_k is 0; write a whole number of at least 1",
        ),
        ({"temperature": -1.0}, "temperature is -1.0; write 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0; write a probability"),
        ({"top_p": 0.9}, "top_p=0.9 but temperature=0.0"),
        ({"temperature": 1.0, "num_beams": 2}, "beam search does not sample"),
        ({"length_penalty": 0.6}, "length_penalty=0.6 but num_beams=1"),
        ({"num_beams": 2, "length_penalty": float("inf")}, "length_penalty is inf"),
        ({"seed": -1}, "seed is -1; write a whole number from 0 to below 2**32"),
        ({"seed": 2**32}, "write a whole number from 0 to below 2**32"),
        ({"temperature": True}, "temperature is True"),
        ({"temperature": 1.0, "top_p": True}, "top_p is True"),
        ({"num_beams": 2, "length_penalty": True}, "length_penalty is True"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        GenerationConfig(**{"max_length": 4} | settings)
