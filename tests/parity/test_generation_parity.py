"""Generation equals transformers' on the same weights (with `pip install .[parity]`).

T5 v1.1, Llama, Qwen and Gemma.
"""

import copy
import functools
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hugging_face_t5 import params_of, random_t5

from flan_jax.decoding.generation import GenerationConfig, restrict_logits
from flan_jax.decoding.scorer import Scorer
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params_on, dummy_batch
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import hugging_face

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

EOS, BOS, LENGTH, VOCABULARY, WINDOW = 1, 2, 64, 60, 6
PROMPTS = [
    np.random.default_rng(i).integers(3, VOCABULARY, size).astype(np.int32)
    for i, size in enumerate((3, 20, 9, 14, 5))
]
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "attn_implementation": "eager",
    "pad_token_id": 0,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
GEMMA = SIZES | {"sliding_window": WINDOW, "query_pre_attn_scalar": 12}
T5 = {
    "noise": 0.1,
    "vocab_size": VOCABULARY,
    "d_model": 24,
    "d_kv": 5,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}
DECODERS = {
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)),
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SIZES)),
    "gemma2": lambda: transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            **GEMMA, attn_logit_softcapping=2.0, final_logit_softcapping=8.0
        )
    ),
    "gemma3": lambda: transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(**GEMMA, sliding_window_pattern=2)
    ),
}


@functools.cache
def both(name, eos_scale):
    """(transformers' model, a scorer with its weights).

    `eos_scale` multiplies the head's weights of EOS.
    """
    is_decoder = name in DECODERS
    peer = random_decoder(name) if is_decoder else random_t5(**T5)
    with torch.no_grad():
        peer.get_output_embeddings().weight[EOS] *= eos_scale
    config, params = weights_by_folder(peer) if is_decoder else weights_of_t5(peer)
    return peer, Scorer(config, params, make_mesh(), rows=8, stop_ids=(EOS,))


def weights_of_t5(peer):
    """(our config, unrolled; the peer's weights)."""
    config = EncoderDecoderConfig(
        vocab_size=VOCABULARY,
        emb_dim=24,
        num_heads=3,
        head_dim=5,
        mlp_dim=32,
        num_encoder_layers=2,
        num_decoder_layers=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        scan_layers=False,
    )
    empty = jax.eval_shape(
        lambda: nn.unbox(config.build().init(jax.random.key(0), dummy_batch(config)))[
            "params"
        ]
    )
    return config, params_of(peer, empty)


def random_decoder(name):
    torch.manual_seed(0)
    peer = DECODERS[name]().eval()
    with torch.no_grad():
        for key, parameter in peer.named_parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
            if name.startswith("gemma") and (
                "post" in key or key == "model.norm.weight"
            ):
                # Gemma's scaled embeddings are its head, too: each token would follow itself if
                # layers added little.
                parameter.add_(4.0)
    return peer


def weights_by_folder(peer):
    """(our config, scanned; the peer's weights)."""
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        config = hugging_face.read_config(folder)
        return config, hugging_face.load_params(
            folder, config, abstract_params_on(config, make_mesh())
        )


def prompt_of(peer, prompt):
    """A prompt as a model reads it: a decoder's begins with BOS."""
    return (
        prompt.tolist() if peer.config.is_encoder_decoder else [BOS, *prompt.tolist()]
    )


def as_read(scorer):
    """PROMPTS as the scorer's model reads them."""
    start = [] if scorer.architecture == "encoder_decoder" else [BOS]
    return [np.array([*start, *prompt], np.int32) for prompt in PROMPTS]


def generated(peer, **settings):
    """(the peer's tokens for each prompt up to EOS, its output).

    A decoder's prompts are padded on the left.
    """
    whole = peer.config.is_encoder_decoder
    prompts = [prompt_of(peer, prompt) for prompt in PROMPTS]
    longest = max(map(len, prompts))
    tokens = np.zeros((len(prompts), longest), np.int64)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[slice(len(prompt)) if whole else slice(longest - len(prompt), None)] = (
            prompt
        )
    mask = torch.from_numpy((tokens > 0).astype(np.int64))
    settings |= {
        "max_new_tokens": LENGTH,
        "do_sample": False,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    with torch.inference_mode():
        output = peer.generate(
            input_ids=torch.from_numpy(tokens), attention_mask=mask, **settings
        )
    rows = [
        [*row, EOS] for row in output.sequences[:, 1 if whole else longest :].tolist()
    ]
    return [row[: row.index(EOS)][:LENGTH] for row in rows], output


def check_that_the_test_can_tell(peer, rows, **settings):
    """No near ties, so that rounding decides nothing; different tokens, also within rows."""
    moved = copy.deepcopy(peer)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in moved.parameters():
            # A hundred times the rounding of float32.
            parameter.mul_(1 + 1e-5 * torch.randn_like(parameter))
    assert generated(moved, **settings)[0] == rows, "a near tie: take another seed"
    assert len({tuple(row) for row in rows}) == len(rows)
    assert (
        sum(len(set(row)) >= 4 for row in rows) >= 2 and len(set().union(*rows)) >= 12
    ), "the same tokens again"


def log_probs(scorer, continuations):
    """Of each prompt's continuation, with its EOS where one came."""
    whole = [
        np.array(row if len(row) == LENGTH else [*row, EOS], np.int32)
        for row in continuations
    ]
    return np.concatenate(
        scorer.log_probs(as_read(scorer), [[row] for row in whole])
    ), np.array([len(row) for row in whole])


@pytest.mark.parametrize(
    "name, eos_scale",
    [
        ("t5", 1.0),
        ("t5", 3.0),
        ("llama", 1.0),
        ("qwen3", 1.0),
        ("gemma2", 1.0),
        ("gemma3", 2.0),
    ],
)
def test_greedy_tokens_and_their_log_probabilities(name, eos_scale):
    peer, scorer = both(name, eos_scale)
    expected, output = generated(peer)
    check_that_the_test_can_tell(peer, expected)
    best, second = torch.stack(output.scores).topk(2).values.unbind(-1)
    margins = [
        (best - second)[: len(tokens) + 1, row].min()
        for row, tokens in enumerate(expected)
    ]
    assert min(margins) > 2e-5, "a near tie: take another seed"
    assert [
        row.tolist()
        for row in scorer.generate(as_read(scorer), GenerationConfig(LENGTH))
    ] == expected
    scores = peer.compute_transition_scores(
        output.sequences, output.scores, normalize_logits=True
    ).numpy()
    sizes = [min(len(row) + 1, LENGTH) for row in expected]
    sums = [row[:size].sum() for row, size in zip(scores, sizes, strict=True)]
    np.testing.assert_allclose(
        log_probs(scorer, expected)[0], sums, rtol=1e-5, atol=1e-4
    )
    if (name, eos_scale) != ("t5", 1.0):
        assert len(set(sizes)) > 1, "rows should end at different lengths"


@pytest.mark.parametrize(
    "name, eos_scale, num_beams, length_penalty",
    [
        ("t5", 1.0, 2, 0.6),
        ("t5", 3.0, 2, 1.0),
        ("t5", 2.0, 4, 1.5),
        ("t5", 1.0, 4, -0.5),
        ("llama", 1.0, 4, 0.6),
        ("qwen3", 1.0, 4, 0.6),
        ("gemma2", 1.0, 4, 1.5),
        ("gemma3", 2.0, 3, 1.0),
    ],
)
def test_beams_and_their_log_probabilities(name, num_beams, length_penalty, eos_scale):
    peer, scorer = both(name, eos_scale)
    settings = {"num_beams": num_beams, "length_penalty": length_penalty}
    expected, output = generated(peer, **settings)
    check_that_the_test_can_tell(peer, expected, **settings)
    assert [
        row.tolist()
        for row in scorer.generate(
            as_read(scorer), GenerationConfig(LENGTH, **settings)
        )
    ] == expected
    assert expected != generated(peer)[0], (
        "beam search should find something else than greedy decoding"
    )
    sums, sizes = log_probs(scorer, expected)
    np.testing.assert_allclose(
        sums,
        output.sequences_scores.numpy() * sizes**length_penalty,
        rtol=1e-5,
        atol=1e-4,
    )


@pytest.mark.parametrize("name", ["t5", "gemma2", "qwen3"])
def test_log_probabilities_of_answers_are_sums_of_log_softmax(name):
    """Several answers of different lengths to each prompt.

    The peer reads each pair alone, without padding.
    """
    peer, scorer = both(name, 1.0)
    rng = np.random.default_rng(7)
    answers = [
        [
            np.array([*rng.integers(3, VOCABULARY, size), EOS], np.int32)
            for size in sizes
        ]
        for sizes in ((0, 1, 4), (2,), (7, 3), (0, 0), (5, 12, 1))
    ]

    def expected(prompt, answer):
        prompt, fed = (
            prompt_of(peer, prompt),
            torch.tensor([answer[:-1].tolist()], dtype=torch.long),
        )
        prompt = torch.tensor([prompt])
        if peer.config.is_encoder_decoder:
            start = torch.zeros((1, 1), dtype=torch.long)
            inputs = {
                "input_ids": prompt,
                "decoder_input_ids": torch.cat([start, fed], dim=1),
            }
        else:
            inputs = {"input_ids": torch.cat([prompt, fed], dim=1)}
        with torch.inference_mode():
            steps = torch.log_softmax(peer(**inputs).logits[0, -len(answer) :], dim=-1)
        return (
            steps[torch.arange(len(answer)), torch.from_numpy(answer).long()]
            .sum()
            .item()
        )

    for prompt, choices, sums in zip(
        PROMPTS, answers, scorer.log_probs(as_read(scorer), answers), strict=True
    ):
        np.testing.assert_allclose(
            sums, [expected(prompt, answer) for answer in choices], rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize(
    ("top_k", "top_p"),
    [
        (1, None),
        (7, None),
        (5000, None),
        (None, 0.1),
        (None, 0.9),
        (None, 0.999),
        (50, 0.8),
    ],
)
def test_the_tokens_that_may_be_sampled_are_those_of_the_logits_warpers(top_k, top_p):
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(64, 1000)) * rng.uniform(0.1, 8.0, (64, 1))).astype(
        np.float32
    )
    expected = torch.from_numpy(logits)
    if top_k is not None:
        expected = transformers.TopKLogitsWarper(top_k)(None, expected)
    if top_p is not None:
        expected = transformers.TopPLogitsWarper(top_p)(None, expected)
    np.testing.assert_array_equal(
        np.asarray(restrict_logits(jnp.asarray(logits), top_k, top_p)), expected.numpy()
    )
