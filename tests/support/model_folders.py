"""Tiny Hugging Face folders of every family, each with a tokenizer, as transformers saves them."""

import io
import json
import shutil

import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from transformers_models import untied

from flan_jax.data.tokenizers import PRACTICE_MODEL

VOCAB_SIZE = 4096
"""That of the practice tokenizer; those made here are smaller."""
BOS, EOS = 1, 2

DECODER = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": 0,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "mscale": 1.0,
    "mscale_all_dim": 0.5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
WINDOW = {"sliding_window": 3}
T5 = {
    "vocab_size": VOCAB_SIZE,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_decoder_layers": 1,
    "num_heads": 2,
}

MODELS = {
    "llama": ("LlamaForCausalLM", DECODER),
    "llama3": (
        "LlamaForCausalLM",
        DECODER | {"rope_parameters": LLAMA3, "tie_word_embeddings": True},
    ),
    "stories": (
        "LlamaForCausalLM",
        DECODER
        | {"vocab_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2}
        | {"rms_norm_eps": 1e-5, "tie_word_embeddings": True, "pad_token_id": None},
    ),
    "mistral": ("MistralForCausalLM", DECODER | WINDOW),
    "qwen2": ("Qwen2ForCausalLM", DECODER | {"rope_parameters": YARN}),
    "qwen3": ("Qwen3ForCausalLM", DECODER),
    "olmo2": ("Olmo2ForCausalLM", DECODER),
    "gemma": ("GemmaForCausalLM", DECODER),
    "gemma2": ("Gemma2ForCausalLM", DECODER | WINDOW),
    "gemma3": ("Gemma3ForCausalLM", DECODER | WINDOW),
    "t5": ("T5ForConditionalGeneration", T5),
    "t5_1_1": (
        "T5ForConditionalGeneration",
        T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "ul2": (
        "T5ForConditionalGeneration",
        T5 | {"feed_forward_proj": "gated-silu", "tie_word_embeddings": False},
    ),
    "mt5": ("MT5ForConditionalGeneration", T5 | {"tie_word_embeddings": False}),
}
"""(transformers' class, its configuration) by name."""


def save_model(name, folder, **changes):
    """Saves a random model of MODELS with a tokenizer, and returns it.

    Args:
      name: a name in MODELS.
      folder: the folder to write.
      **changes: settings of its configuration that differ.
    """
    class_name, settings = MODELS[name]
    cls = getattr(transformers, class_name)
    torch.manual_seed(0)
    model = cls(cls.config_class(**settings | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    if model.config.is_encoder_decoder and not settings.get(
        "tie_word_embeddings", True
    ):
        untied(model)
    model.save_pretrained(folder)
    if model.config.is_encoder_decoder:
        shutil.copyfile(PRACTICE_MODEL, folder / "spiece.model")
    elif name == "stories":
        save_sentencepiece(folder)
    else:
        save_tokenizer(folder, adds_bos=name.startswith(("llama", "mistral", "gemma")))
    return model


def save_tokenizer(folder, *, adds_bos, fillers=0):
    """Saves a tokenizer.json of single bytes, which puts BOS before each text or not.

    Args:
      folder: the folder.
      adds_bos: whether a text begins with BOS.
      fillers: further ids, which no text has.
    """
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    unused = [f"<filler {number}>" for number in range(fillers)]
    ids = {token: id_ for id_, token in enumerate([*special, *alphabet, *unused])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(ids, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    if adds_bos:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)]
        )
    tokens = dict(zip(("pad", "bos", "eos", "unk"), special, strict=True))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{kind}_token": token for kind, token in tokens.items()},
    ).save_pretrained(folder)


def save_sentencepiece(folder):
    """Saves a small SentencePiece model of Llama's kind: BPE with byte fallback, without PAD."""
    texts = [
        "Once upon a time there was a hen. Is it raining? yes no",
        "OPTIONS: - 1 2",
    ]
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 9),
        model_writer=content,
        model_type="bpe",
        vocab_size=512,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(content.getvalue())
    tokens = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def change_config(folder, **changes):
    """Changes settings of a folder's config.json; None takes one out."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    kept = {name: value for name, value in config.items() if value is not None}
    file.write_text(json.dumps(kept))


def their_logits(model, tokens):
    """Returns transformers' logits of int[rows, length]; an encoder reads the same tokens."""
    inputs = torch.tensor(np.asarray(tokens))
    arguments = {"input_ids": inputs}
    if model.config.is_encoder_decoder:
        arguments["decoder_input_ids"] = inputs
    with torch.no_grad():
        return model(**arguments).logits.numpy()
