"""Which row format a run has, and why; and what it sets in the model."""

import dataclasses
import json

import numpy as np
import pytest
from chat_folders import write_chat_folder
from safetensors.numpy import save_file

import tasks  # noqa: F401 (registers)
from flan_jax.cli import gin_settings
from flan_jax.data.row_format import FLAN, RowFormat
from flan_jax.errors import InputError

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 704,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face folder of a small Llama with Gemma's tokenizer and template."""
    folder = write_chat_folder(tmp_path / "model", "gemma")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    save_file({"x": np.zeros(1)}, folder / "model.safetensors")
    return folder


def load(folder, *bindings):
    named = [
        f"WARM_START = {str(folder)!r}",
        f"TOKENIZER = {str(folder)!r}",
        "MODEL = @DecoderConfig()",
        "DecoderConfig.num_layers = 1",
        "DecoderConfig.vocab_size = 704",
        "DecoderConfig.emb_dim = 16",
        "DecoderConfig.num_heads = 2",
        "DecoderConfig.head_dim = 8",
        "DecoderConfig.mlp_dim = 24",
    ]
    return gin_settings.load_settings(["flan_mixture.gin"], [*named, *bindings])


def test_the_format_is_that_of_the_folder_unless_it_is_set(folder, tmp_path):
    setting, reason = load(folder).row_format()
    assert (setting, reason) == ("chat", f"the form of {folder}")
    rows = load(folder).row_tokenizer()
    assert rows.format.start == "<bos>"
    assert rows.format.prompt_prefix == "<start_of_turn>user\n"
    assert load(folder, "ROW_FORMAT = 'text'").row_format() == ("text", "ROW_FORMAT")
    (folder / "chat_template.jinja").unlink()
    assert load(folder).row_format()[0] == "text"
    fields = dataclasses.asdict(RowFormat(separator=" ->"))
    (folder / "row_format.json").write_text(json.dumps(fields))
    assert load(folder).row_format()[0] == RowFormat(separator=" ->")
    assert load(tmp_path / "gone").row_format() == ("flan", "the default")


def test_a_format_in_gin_sets_the_attention_over_prompts(folder):
    bindings = ["ROW_FORMAT = @RowFormat()", "RowFormat.separator = ' ->'"]
    assert load(folder, *bindings).model.prefix_lm
    causal = load(folder, *bindings, "RowFormat.prefix_lm = False")
    assert not causal.model.prefix_lm
    assert causal.row_tokenizer().format.separator == " ->"
    with pytest.raises(InputError, match="RowFormat.end is 3; it must be str"):
        load(folder, *bindings, "RowFormat.end = 3")
    with pytest.raises(InputError, match="prefix_lm is False, which is for decoders"):
        gin_settings.load_settings(
            ["flan_mixture.gin", "models/t5_nano.gin"],
            ["ROW_FORMAT = @RowFormat()", "RowFormat.prefix_lm = False"],
        )


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"seperator": " "},
            "unknown field of the row format.*'seperator'. Did you mean",
        ),
        ({"end": None}, "has end = None; write it again"),
        ({"trim_prompts": "yes"}, "has trim_prompts = 'yes'"),
        ("chta", "unknown ROW_FORMAT 'chta'. Did you mean 'chat'"),
    ],
)
def test_a_damaged_format_of_a_folder(folder, fields, message):
    (folder / "row_format.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=message):
        load(folder).row_tokenizer()


def test_a_run_that_has_begun_needs_the_folder_no_more(folder, tmp_path):
    """Its format is in its manifest."""
    settings = load(folder)
    written = json.loads(
        json.dumps(dataclasses.asdict(settings.row_tokenizer().format))
    )
    gone = load(folder, f"WARM_START = '{tmp_path / 'gone'}'")
    assert gone.row_format() == ("flan", "the default")
    going_on = gone.with_rows_of({"row_format": written})
    assert going_on.row_tokenizer().format == settings.row_tokenizer().format
    assert gone.with_rows_of({}) is gone
    named = load(folder, "ROW_FORMAT = 'flan'")
    assert named.with_rows_of({"row_format": written}).row_tokenizer().format == FLAN
