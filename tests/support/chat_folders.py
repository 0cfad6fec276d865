"""Tokenizer folders of several families with chat templates, as they are published."""

import json

import tokenizers
from tokenizers import (
    AddedToken,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXTS = [
    "system user assistant model You are a helpful assistant. You answer.",
    "Is it raining? yes no maybe",
    "Does a hen fly? The hen flies, and the cat does not.",
    "[INST] [/INST] # - OPTIONS: 1 2 3\n\nA short text\nof lines.",
] * 5

CHATML = """\
{%- if messages[0]['role'] != 'system' -%}
<|im_start|>system
You answer.<|im_end|>
{% endif -%}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""

LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{%- generation %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endgeneration %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""

GEMMA = """\
{{ bos_token }}{% for message in messages %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

MISTRAL = """\
{{- bos_token }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}
{%- if loop.index0 % 2 != 0 %}{{ raise_exception('roles must alternate') }}{% endif %}
{{- '[INST] ' + message['content'] + '[/INST]' }}
{%- else %}{{- ' ' + message['content'] + eos_token }}
{%- endif %}
{%- endfor %}"""

STYLES = {
    # name: (template, BOS, EOS, further special tokens)
    "chatml": (CHATML, "<|im_start|>", "<|im_end|>", ["<|endoftext|>"]),
    "llama3": (
        LLAMA3,
        "<|begin_of_text|>",
        "<|eot_id|>",
        ["<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"],
    ),
    "gemma": (GEMMA, "<bos>", "<eos>", ["<start_of_turn>", "<end_of_turn>"]),
    "mistral": (MISTRAL, "<s>", "</s>", ["[INST]", "[/INST]"]),
}


def write_chat_folder(folder, style):
    """Writes tokenizer.json, tokenizer_config.json and the template of one of STYLES."""
    template, bos, eos, special = STYLES[style]
    special = ["<unk>", "<pad>", *dict.fromkeys([bos, eos, *special])]
    if style in ("chatml", "llama3"):
        model = byte_level_model(special)
    else:
        model = sentencepiece_like_model(special, prefix_space=style == "mistral")
    if style != "chatml":
        model.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, model.token_to_id(bos))]
        )
    folder.mkdir(exist_ok=True)
    model.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    if style == "mistral":
        config["chat_template"] = template
    else:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def byte_level_model(special):
    """A byte-level BPE model, as of GPT-2, Llama 3 and Qwen."""
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(TEXTS, trainer)
    return model


def sentencepiece_like_model(special, *, prefix_space):
    """A BPE model of SentencePiece's kind: as of Gemma, or with a space before the first word."""
    letters = sorted(set("".join(TEXTS)) - {" "}) + ["▁"]
    byte_pieces = [f"<0x{number:02X}>" for number in range(256)]
    model = tokenizers.Tokenizer(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if prefix_space:
        model.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement="▁", prepend_scheme="first", split=False
        )
        strip = [decoders.Strip(" ", 1, 0)]
    else:
        model.normalizer = normalizers.Replace(" ", "▁")
        strip = []
    model.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    # Whitespace pieces, which the text of a row is made of.
    newlines = [] if prefix_space else [AddedToken("\n\n", normalized=False)]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=[*special, *byte_pieces],
        initial_alphabet=letters,
        max_token_length=8,
        show_progress=False,
    )
    model.train_from_iterator(TEXTS, trainer)
    content = json.loads(model.to_str())
    content["added_tokens"] = [
        token for token in content["added_tokens"] if token["content"] in special
    ]
    plain = tokenizers.Tokenizer.from_str(json.dumps(content))
    plain.add_tokens(newlines)
    return plain
