import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.decoding import scorer as decoding
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.prefill import bucket
from flan_jax.decoding.scorer import Scorer
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import dummy_batch
from flan_jax.parallel.mesh import make_mesh

SIZES = {
    "vocab_size": 40,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=2, **SIZES),
    "relative": DecoderConfig(num_layers=2, **SIZES),
    "rope": DecoderConfig(num_layers=2, position="rope", scan_layers=False, **SIZES),
}
EOS = 1
LENGTHS = {"inputs": 16, "targets": 16}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 1], [13, 1], [14, 15, 16, 17, 1], [18, 19, 1]]
ANSWERS = [
    [[20, 1], [21, 22, 23, 24, 1]],
    [[25, 26, 1]],
    [[27, 1], [28, 29, 1], [30, 31, 32, 1]],
    [[33, 1], [20, 1]],
]


def tokens(lists):
    return [np.array(one, np.int32) for one in lists]


@functools.cache
def params_of(name, eos_bias=0.0):
    """Parameters whose logits depend strongly on what was read; `eos_bias` makes EOS more likely everywhere."""
    config = MODELS[name]
    params = nn.unbox(jax.jit(config.build().init)(jax.random.key(6), dummy_batch(config)))[
        "params"
    ]
    head = params["decoder"]["logits_dense"]
    head["kernel"] = head["kernel"].at[:, EOS].mul(eos_bias or 1.0)
    return params


def scorer(name, rows=4, mesh=None, **kwargs):
    return Scorer(
        MODELS[name],
        params_of(name, **kwargs),
        make_mesh(mesh or {"data": 8}),
        rows=rows,
        eos_id=EOS,
    )


@functools.cache
def whole_model(name):
    return jax.jit(MODELS[name].build().apply)


@pytest.fixture
def logits_of(make_batch):
    """logits_of(name, prompt, answer): float32[answer + 1, V], what the whole model says of each answer token and of
    the one behind, from a batch of that example alone."""

    def logits(name, prompt, answer, **kwargs):
        architecture = MODELS[name].architecture
        # One token more than the answer: its logits are those of what follows.
        batch = make_batch(architecture, [[(list(prompt), [*answer, 2])]], LENGTHS)
        whole = np.asarray(whole_model(name)({"params": params_of(name, **kwargs)}, batch))[0]
        start = 0 if architecture == "encoder_decoder" else len(prompt)
        return whole[start : start + len(answer) + 1]

    return logits


@pytest.fixture
def expected_sums(logits_of):
    def sums(name, prompt, answer):
        log_probs = jax.nn.log_softmax(logits_of(name, prompt, answer)[:-1])
        return float(np.sum(np.asarray(log_probs)[np.arange(len(answer)), answer]))

    return sums


def compare(name, prompts, answers, got, expected_sums):
    assert [len(sums) for sums in got] == [len(choices) for choices in answers]
    for prompt, choices, sums in zip(prompts, answers, got, strict=True):
        assert sums.dtype == np.float32
        np.testing.assert_allclose(
            sums, [expected_sums(name, prompt, a) for a in choices], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_sums_of_each_answers_log_probabilities(name, expected_sums):
    got = scorer(name).log_probs(tokens(PROMPTS), [tokens(choices) for choices in ANSWERS])
    compare(name, PROMPTS, ANSWERS, got, expected_sums)


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
def test_scores_do_not_depend_on_the_rows_beside_nor_on_how_many_there_are(name, expected_sums):
    """More prompts, and more answers, than the scorer has rows."""
    one = scorer(name)
    prompts, answers = PROMPTS * 3, ANSWERS * 3
    got = one.log_probs(tokens(prompts), [tokens(choices) for choices in answers])
    compare(name, prompts, answers, got, expected_sums)
    alone = one.log_probs(tokens(PROMPTS[1:2]), [tokens(ANSWERS[1])])
    np.testing.assert_allclose(alone[0], got[1], rtol=1e-5, atol=1e-5)
    assert one.log_probs([], []) == []


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
def test_a_mesh_with_split_parameters_scores_the_same(name):
    prompts, answers = tokens(PROMPTS), [tokens(choices) for choices in ANSWERS]
    whole = scorer(name).log_probs(prompts, answers)
    split = scorer(name, mesh={"data": 2, "fsdp": 2, "tensor": 2})
    for a, b in zip(split.log_probs(prompts, answers), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    for a, b in zip(
        split.generate(prompts, GenerationConfig(4)),
        scorer(name).generate(prompts, GenerationConfig(4)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
@pytest.mark.parametrize("beams", [1, 2])
def test_parameters_gathered_for_each_token_write_the_same(name, beams, monkeypatch):
    prompts, config = tokens(PROMPTS), GenerationConfig(4, num_beams=beams)
    once = scorer(name, mesh={"fsdp": 8})
    monkeypatch.setattr(decoding, "memory_of", lambda devices: 0)
    each = scorer(name, mesh={"fsdp": 8})
    assert each.regathers and not once.regathers and not scorer(name, mesh={"data": 8}).regathers
    for a, b in zip(each.generate(prompts, config), once.generate(prompts, config), strict=True):
        np.testing.assert_array_equal(a, b)


def continued(logits_of, name, prompt, length, **kwargs):
    """Greedy tokens with nothing kept from one token to the next."""
    answer = []
    while len(answer) < length:
        answer.append(int(np.argmax(logits_of(name, prompt, answer, **kwargs)[-1])))
        if answer[-1] == EOS:
            return answer[:-1]
    return answer


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("eos_bias", [0.0, 2.0])
def test_greedy_takes_the_most_probable_token_each_time(name, eos_bias, logits_of):
    expected = [continued(logits_of, name, prompt, 11, eos_bias=eos_bias) for prompt in PROMPTS]
    one = scorer(name, eos_bias=eos_bias)
    got = one.generate(tokens(PROMPTS), GenerationConfig(11))
    assert [row.tolist() for row in got] == expected
    lengths = {len(row) for row in expected}
    assert len({tuple(row) for row in expected}) == 4, "the prompts should matter"
    if eos_bias:
        assert len(lengths) > 1 and min(lengths) < 11, "EOS should come, at different lengths"
    assert [row.tolist() for row in one.generate(tokens(PROMPTS[:1]), GenerationConfig(3))] == [
        expected[0][:3]
    ]


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
def test_greedy_goes_through_more_prompts_than_it_has_rows(name):
    one = scorer(name)
    few = [row.tolist() for row in one.generate(tokens(PROMPTS), GenerationConfig(4))]
    assert [
        row.tolist() for row in one.generate(tokens(PROMPTS * 3), GenerationConfig(4))
    ] == few * 3
    assert one.generate([], GenerationConfig(4)) == []


def test_a_prompt_that_fills_its_bucket_goes_on_in_the_cache(logits_of):
    """Eight tokens: the ninth position of the cache is the first of the answer."""
    prompt = [5, 6, 7, 8, 9, 10, 11, 1]
    assert bucket(len(prompt)) == len(prompt)
    for name in MODELS:
        assert scorer(name).generate(tokens([prompt]), GenerationConfig(8))[
            0
        ].tolist() == continued(logits_of, name, prompt, 8)


def test_buckets_hold_their_lengths():
    lengths = (0, 1, 8, 9, 100, 128, 129, 200, 256, 257, 8192, 8193)
    assert [bucket(n) for n in lengths] == [8, 8, 8, 16, 128, 128, 160, 224, 256, 320, 8192, 10240]
    assert all(n <= bucket(n) < 1.25 * n for n in range(129, 3000))


def test_rows_are_rounded_up_to_the_mesh():
    assert [scorer("relative", rows=rows).rows for rows in (1, 8, 9)] == [8, 8, 16]
    assert jnp.isfinite(
        scorer("relative", rows=1).log_probs(tokens([[5]]), [tokens([[6]])])[0]
    ).all()
