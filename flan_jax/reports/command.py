"""The command line of the reports: `python -m flan_jax.reports.run_report RUN_DIR`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from flan_jax.errors import BAD_INPUT, InputError


def rewrite_report(
    module: str, write: Callable[[Path], Path], arguments: Sequence[str] | None
) -> None:
    """Writes a report again and prints its path; ends the process with BAD_INPUT for an InputError.

    Args:
      module: the name of the report's module in flan_jax.reports.
      write: writes the report of a directory and returns its path.
      arguments: the command line, which names the directory; sys.argv if None.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m flan_jax.reports.{module}",
        description="Writes the report of a directory again from its files.",
    )
    parser.add_argument("directory", type=Path)
    try:
        print(write(parser.parse_args(arguments).directory))
    except InputError as error:
        parser.exit(BAD_INPUT, f"error: {error}\n")
