"""The program launch/prepare.py: tokenizes a run's data into the cache."""

import argparse
from collections.abc import Sequence

from flan_jax.cli import arguments, gin_settings
from flan_jax.cli.mixture_tables import print_plan
from flan_jax.data.leakage import check_leakage
from flan_jax.data.mixture_data import prepare_mixture
from flan_jax.errors import plural
from flan_jax.evaluation.controls import control_jobs


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    return arguments.settings_parser(
        "prepare.py",
        "Tokenize a run's data into the cache, so that training starts at once.",
    )


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    settings, _ = gin_settings.resolve(flags.gin_file, bindings)
    arguments.keep_compiled_programs(settings)

    if flags.dry_run:
        print_plan(settings)
        return
    check_leakage(settings.data)
    data = prepare_mixture(
        settings.data, settings.row_tokenizer(), settings.evaluation.more
    )
    control_jobs(data, settings.evaluation)
    examples = sum(len(store) for store in data.train.values())
    print(
        f"prepared: {plural(len(data.train), 'task')} with {plural(examples, 'training example')} "
        f"and {plural(len(data.evaluation), 'evaluation set')}"
    )
