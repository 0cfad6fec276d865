"""The program launch/convert.py: copies a model's weights into another format."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from flan_jax.cli.gin_settings import load_model
from flan_jax.data.exported_tokenizer import exported_files
from flan_jax.data.row_format import RowFormat, format_of_json, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer, tokenizer_file
from flan_jax.errors import InputError
from flan_jax.models.config import ModelConfig
from flan_jax.models.params import abstract_params_on, check_vocabulary, count_params
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import t5x
from flan_jax.weights.formats import (
    FORMATS,
    check_target,
    format_of,
    load_params,
    save_params,
    step_of,
)
from flan_jax.weights.hugging_face import (
    ROW_FORMAT_FILE,
    Companions,
    copy_tokenizer_files,
    describe_model,
)
from flan_jax.weights.model_folder import (
    default_row_format,
    longest_row,
    model_of,
    tokenizer_of,
    write_manifest,
)


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    parser = argparse.ArgumentParser(
        prog="convert.py",
        description="Copy a model's weights into another format: a Hugging Face folder, a T5X "
        "checkpoint, or a run's own.",
    )
    parser.add_argument(
        "source",
        metavar="FROM",
        help="a run directory, a Hugging Face folder or a T5X checkpoint",
    )
    parser.add_argument(
        "target", metavar="TO", help="the folder to write; it must not exist"
    )
    parser.add_argument(
        "--to",
        default="hugging_face",
        choices=FORMATS,
        help="the format (default: hugging_face)",
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        help="the dtype of a Hugging Face folder: float32, bfloat16 or float16",
    )
    parser.add_argument(
        "--original",
        help="the Hugging Face folder that the model came from, for its config and tokenizer",
    )
    parser.add_argument(
        "--tokenizer", help="a tokenizer file to put into a Hugging Face folder"
    )
    parser.add_argument(
        "--gin_file",
        action="append",
        help="gin files with MODEL, where FROM does not say it: a T5X checkpoint",
    )
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.
    """
    flags = parser().parse_args(command_line)
    source_format = format_of(flags.source)
    config = _model_config(flags.source, flags.gin_file)
    original = flags.original
    if original is None and source_format == "hugging_face":
        original = flags.source
    # Before the weights are read: this may be the work of hours.
    check_target(flags.target)
    companions = {}
    if flags.to == "hugging_face":
        companions = _companions(flags, original, config)
    step = step_of(flags.source)

    mesh = make_mesh({"fsdp": -1})
    params = load_params(flags.source, config, abstract_params_on(config, mesh))
    save_params(
        flags.target,
        flags.to,
        config,
        params,
        step=step,
        dtype=flags.dtype,
        original=original,
        companions=companions,
    )
    if flags.to == "flan_jax":
        _name_model(flags, source_format, config)
    print(f"{count_params(config):,} parameters are in {flags.target}")
    if flags.to == "t5x":
        checkpoint = Path(flags.target).expanduser().absolute() / f"checkpoint_{step}"
        print(
            "They have no optimizer state. T5X trains on from them, with a new state, by\n"
            f"{t5x.restore_settings(checkpoint)}",
            end="",
        )


def _model_config(source: str, gin_files: Sequence[str] | None) -> ModelConfig:
    """Returns the configuration of the model in `source`: its own, or that of gin files."""
    run_config = Path(source).expanduser() / "config.gin"
    if not gin_files and run_config.is_file():
        gin_files = [str(run_config)]
    if gin_files:
        return load_model(gin_files)
    config = model_of(source)
    if config is None:
        raise InputError(
            f"{source} has no manifest.json that says what model its parameters are of; name the "
            "model's gin file with --gin_file=models/..."
        )
    return config


def _name_model(
    flags: argparse.Namespace, source_format: str, config: ModelConfig
) -> None:
    """Makes a folder in our own format say what model it is of, and which tokenizer it has."""
    tokenizer = flags.tokenizer
    if tokenizer is not None:
        tokenizer = str(tokenizer_file(tokenizer))
        check_vocabulary(config, tokenizer, load_tokenizer(tokenizer).vocab_size)
    elif source_format == "hugging_face":
        copy_tokenizer_files(flags.source, flags.target)
    else:
        tokenizer = tokenizer_of(flags.source)
    row_format = default_row_format(flags.source)
    write_manifest(flags.target, config, tokenizer, row_format)


def _companions(
    flags: argparse.Namespace, original: str | None, config: ModelConfig
) -> Companions:
    """Returns the files by which a Hugging Face folder writes prompts as the model reads them.

    Those of a Hugging Face folder are kept as they are.
    """
    family, _ = describe_model(config, original)
    is_copy = original == flags.source and flags.tokenizer is None
    if is_copy:
        return {}
    path = flags.tokenizer or tokenizer_of(flags.source)
    if path is None and original is not None:
        path = tokenizer_of(original)
    if path is None:
        print(
            f"{flags.source} names no tokenizer, so that {flags.target} has none: give --tokenizer "
            "to make it a folder that takes text",
            file=sys.stderr,
        )
        return {}
    tokenizer = load_tokenizer(path)
    check_vocabulary(config, tokenizer.path, tokenizer.vocab_size)
    row_format = _row_format(flags.source, tokenizer, config)
    rows = RowTokenizer(tokenizer, row_format, config.architecture)
    longest = None
    if original is None and getattr(config, "rope_scaling", None) is None:
        longest = longest_row(flags.source)
    companions = exported_files(rows, family.model_type, longest)
    companions[ROW_FORMAT_FILE] = dataclasses.asdict(row_format)
    return companions


def _row_format(source: str, tokenizer: Tokenizer, config: ModelConfig) -> RowFormat:
    """Returns the row format that the model in `source` is used to."""
    setting = format_of_json(default_row_format(source) or "flan", source)
    return make_row_format(setting, tokenizer, getattr(config, "start_id", None))
