"""Exported folders answer in transformers as the tuned model does, from the folder alone."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from chat_folders import write_chat_folder

from flan_jax.cli import convert, program
from flan_jax.data.exported_tokenizer import QWEN_SPLIT
from flan_jax.data.row_format import RowFormat, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state
from flan_jax.weights import model_folder, orbax

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

NEW_TOKENS, LONG = 12, {"inputs": 1000, "targets": 1000}
PROMPTS = [
    "Is it raining?",
    "  Does a hen\n\nfly?  \n",
    "é 日本 🙂",
    "OPTIONS:\n- yes\n- no\n",
]
SIZES = {
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
# transformers' cache of a decoder has as many layers as the encoder.
T5 = {**SIZES, "num_encoder_layers": 2, "num_decoder_layers": 2}
LLAMA = {
    **SIZES,
    "num_layers": 2,
    "num_kv_heads": 1,
    "position": "rope",
    "query_scale": 8**-0.5,
    "prefix_lm": False,
    "mlp_activations": ("silu", "linear"),
}
GEMMA = {
    **LLAMA,
    "mlp_activations": ("gelu", "linear"),
    "norm_offset": 1.0,
    "post_norms": True,
    "scale_embeddings": True,
    "logits_via_embedding": True,
    "tied_logits_scale": 1.0,
    "sliding_window": 5,
    "global_every": 2,
}
MODELS = {
    "t5_1_0": (
        EncoderDecoderConfig,
        {**T5, "mlp_activations": ("relu",), "logits_via_embedding": True},
    ),
    "t5_1_1": (EncoderDecoderConfig, T5),
    "mt5": (EncoderDecoderConfig, T5),
    "llama": (DecoderConfig, LLAMA),
    "mistral": (DecoderConfig, {**LLAMA, "sliding_window": 5}),
    "qwen2": (DecoderConfig, {**LLAMA, "attention_bias": True}),
    "qwen3": (DecoderConfig, {**LLAMA, "qk_norm": True}),
    "gemma2": (
        DecoderConfig,
        {**GEMMA, "attention_softcap": 50.0, "logits_softcap": 30.0},
    ),
    "gemma3": (
        DecoderConfig,
        {**GEMMA, "qk_norm": True, "rope_local_max_wavelength": 500.0},
    ),
}
OWN = RowFormat(prompt_prefix="Q: ", separator="\n\nA:", answer_prefix=" ")
CASES = [
    ("t5_1_0", "practice", "flan"),
    ("t5_1_1", "practice", "flan"),
    ("t5_1_1", "mistral", "chat"),
    ("mt5", "practice", "flan"),
    ("mt5", "practice", RowFormat(prompt_prefix="[S2S] ", separator="{eos}")),
    ("llama", "practice", "flan"),
    ("llama", "practice", "text"),
    ("llama", "llama3", "chat"),
    ("llama", "llama3", OWN),
    ("mistral", "practice", "flan"),
    ("mistral", "mistral", "text"),
    ("mistral", "mistral", "chat"),
    ("qwen2", "qwen", "flan"),
    ("qwen2", "qwen", "text"),
    ("qwen2", "qwen", "chat"),
    ("qwen3", "practice", "text"),
    ("qwen3", "qwen", "flan"),
    ("qwen3", "qwen", "chat"),
    ("gemma2", "practice", "text"),
    ("gemma2", "gemma", "flan"),
    ("gemma2", "gemma", "chat"),
    ("gemma3", "practice", "flan"),
    ("gemma3", "gemma", "text"),
    ("gemma3", "gemma", "chat"),
]
"""(model, tokenizer, row format)."""


@pytest.fixture
def make_tokenizer(tmp_path):
    """make_tokenizer(name): "practice", or the folder of a chat tokenizer."""

    def make(name):
        if name == "practice":
            return name
        if name == "qwen":
            return str(write_qwen_folder(tmp_path / name))
        return str(write_chat_folder(tmp_path / name, name))

    return make


def write_qwen_folder(folder):
    """A tokenizer that splits texts as Qwen's own."""
    write_chat_folder(folder, "chatml")
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    split = {"pattern": {"Regex": QWEN_SPLIT}, "behavior": "Isolated", "invert": False}
    content["normalizer"] = {"type": "NFC"}
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", **split},
            {**content["pre_tokenizer"], "use_regex": False},
        ],
    }
    file.write_text(json.dumps(content))
    return folder


@pytest.fixture
def export(make_tokenizer, tmp_path):
    """export(model, tokenizer, format): (rows, scorer, the exported folder)."""

    def export(model_name, tokenizer_name, row_format, *flags):
        path = make_tokenizer(tokenizer_name)
        tokenizer = load_tokenizer(path)
        config_class, sizes = MODELS[model_name]
        config = config_class(vocab_size=tokenizer.vocab_size, **sizes)
        if isinstance(row_format, str):
            row_format = make_row_format(row_format, tokenizer, None)
        rows = RowTokenizer(tokenizer, row_format, config.architecture)
        params = random_params(config)
        run = tmp_path / "run"
        orbax.save_params(run, params)
        model_folder.write_manifest(run, config, path, dataclasses.asdict(row_format))
        if model_name == "mt5":
            flags = (*flags, f"--original={original_mt5(run, tmp_path / 'mt5')}")
        arguments = [str(run), str(tmp_path / "out"), *flags]
        assert program.exit_code(convert.main, arguments) == 0
        stop_ids = rows.tokens.stop_ids
        scorer = Scorer(config, params, make_mesh(), rows=8, stop_ids=stop_ids)
        return rows, scorer, tmp_path / "out"

    return export


def random_params(config):
    """Parameters whose answers depend on what was read."""
    params = init_state(config, adamw(lambda step: 0.1), make_mesh(), 0).params
    keys = iter(jax.random.split(jax.random.key(3), 100))

    def moved(leaf):
        return leaf + 0.3 * jax.random.normal(next(keys), leaf.shape)

    return jax.tree.map(moved, params)


def original_mt5(run, folder):
    """Writes a folder that says it is an mT5, which the T5 of a run is as well."""
    assert program.exit_code(convert.main, [str(run), str(folder)]) == 0
    file = folder / "config.json"
    content = json.loads(file.read_text())
    content |= {"model_type": "mt5", "architectures": ["MT5ForConditionalGeneration"]}
    file.write_text(json.dumps(content))
    return folder


def our_prompt(rows, text):
    (tokens,) = rows.encode_prompts([text])
    return rows.prompt(np.array(tokens, np.int32), LONG)


def their_prompt(peer, text):
    """The prompt as transformers' users make it."""
    if peer.chat_template is None:
        return peer(text, return_tensors="pt")
    return peer.apply_chat_template(
        [{"role": "user", "content": text}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )


def their_answer(model, inputs):
    """The new tokens of greedy decoding, up to the first that ends a text."""
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    row = output[0].tolist()
    is_whole = model.config.is_encoder_decoder
    row = row[1 if is_whole else inputs["input_ids"].shape[1] :]
    stop_ids = model.generation_config.eos_token_id
    return [*row[:-1]] if row[-1] in stop_ids else row


def load(folder):
    """(transformers' tokenizer, its model) of a folder."""
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    classes = {
        False: transformers.AutoModelForCausalLM,
        True: transformers.AutoModelForSeq2SeqLM,
    }
    config = transformers.AutoConfig.from_pretrained(folder)
    return peer, classes[config.is_encoder_decoder].from_pretrained(folder).eval()


@pytest.mark.parametrize(("model_name", "tokenizer_name", "row_format"), CASES)
def test_greedy_answers_are_those_of_the_tuned_model(
    model_name, tokenizer_name, row_format, export
):
    rows, scorer, folder = export(model_name, tokenizer_name, row_format)
    prompts = [our_prompt(rows, text) for text in PROMPTS]
    expected = scorer.generate(prompts, GenerationConfig(NEW_TOKENS))
    assert len({tuple(answer) for answer in expected}) > 1, "take another seed"

    peer, model = load(folder)
    name = {"t5_1_0": "t5", "t5_1_1": "t5", "gemma3": "gemma3_text"}
    assert model.config.model_type == name.get(model_name, model_name)
    for text, prompt, answer in zip(PROMPTS, prompts, expected, strict=True):
        inputs = their_prompt(peer, text)
        assert inputs["input_ids"][0].tolist() == prompt.tolist()
        tokens = their_answer(model, inputs)
        assert tokens == answer.tolist()
        written = peer.decode(tokens, skip_special_tokens=True)
        ours = rows.answer_text(answer)
        # A random model writes bytes that are no UTF-8: SentencePiece replaces the broken ones
        # alone, transformers the whole run of bytes.
        if rows.tokenizer.unknown_id not in tokens and "\ufffd" not in ours:
            assert written.removeprefix(rows.format.answer_prefix) == ours
