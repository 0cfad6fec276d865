"""The program launch/tokenizer.py: trains a SentencePiece model on a mixture."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flan_jax.cli import arguments, gin_settings
from flan_jax.data.mixture_data import tokenizer_texts
from flan_jax.data.tokenizers import PRACTICE_MODEL, load_tokenizer, train_tokenizer
from flan_jax.errors import InputError


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    return arguments.settings_parser(
        "tokenizer.py",
        "Train the SentencePiece model that TOKENIZER names on the mixture's training examples, "
        "for MODEL's vocabulary.",
    )


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    settings, _ = gin_settings.resolve(flags.gin_file, bindings)

    vocab_size = settings.model.vocab_size
    output = _output_file(settings.data.tokenizer)
    if flags.dry_run:
        print(f"a vocabulary of {vocab_size} pieces would be written to {output}")
        return
    train_tokenizer(tokenizer_texts(settings.data), output, vocab_size)
    pieces = load_tokenizer(output).vocab_size
    print(f"{output}: {pieces} pieces for a model with room for {vocab_size}")


def _output_file(tokenizer: str) -> Path:
    output = PRACTICE_MODEL if tokenizer == "practice" else Path(tokenizer).expanduser()
    if output.suffix != ".model" or not output.parent.is_dir():
        raise InputError(
            f"TOKENIZER is {tokenizer}; name a *.model file in a folder that exists"
        )
    return output
