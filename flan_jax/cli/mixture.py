"""The program launch/mixture.py: shows what a mixture consists of."""

import argparse
from collections.abc import Sequence

from flan_jax.cli import arguments, gin_settings
from flan_jax.cli.gin_settings import binding
from flan_jax.cli.mixture_tables import (
    batch_text,
    difference_table,
    mixture_table,
    plan_and_summary,
    row_text,
)
from flan_jax.progress import table_console
from flan_jax.reports.mixture import draw_mixture

DEFAULT_GIN_FILE = "flan_mixture.gin"
"""The settings of programs that look at a mixture and train nothing."""


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    parser = arguments.settings_parser(
        "mixture.py",
        "Explain a mixture: rows, rates, shares, epochs, lengths and truncation of each task.",
        gin_file_required=False,
    )
    add_mixture_flags(parser)
    parser.add_argument(
        "--diff", metavar="MIXTURE", help="a mixture or task to compare with"
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        help="draw the shares to a .png, .svg, .pdf or .html file",
    )
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    gin_files = flags.gin_file or [DEFAULT_GIN_FILE]
    bindings = mixture_bindings(flags.mixture, flags.held_out or "none") + bindings
    second_settings = None
    if flags.diff:
        # gin keeps the state of the settings loaded last, so the other mixture comes first.
        second_settings = gin_settings.load_settings(
            gin_files, [*bindings, f"MIXTURE = {flags.diff!r}"]
        )
    settings = gin_settings.load_settings(gin_files, bindings)

    data, plan, summary = plan_and_summary(settings)
    console = table_console()
    if second_settings is None:
        console.print(mixture_table(summary))
    else:
        *_, second_summary = plan_and_summary(second_settings)
        console.print(difference_table(summary, second_summary))
    for text in (batch_text(plan, summary), row_text(settings, data, plan)):
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    if flags.picture is not None:
        draw_mixture(summary, flags.picture)
        console.print(f"drawn to {flags.picture}", highlight=False, soft_wrap=True)


def add_mixture_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the argument MIXTURE and the flag --held_out."""
    parser.add_argument(
        "mixture", nargs="?", help="a mixture or task, in place of MIXTURE"
    )
    parser.add_argument("--held_out", help="a cluster to hold out, or 'none'")


def mixture_bindings(mixture: str | None, held_out: str | None) -> list[str]:
    """Returns the gin bindings of MIXTURE and --held_out; "none" holds nothing out.

    Args:
      mixture: the value of --mixture; None or "" leaves MIXTURE as it is.
      held_out: the value of --held_out; None or "" leaves HELD_OUT as it is, "none" holds nothing
        out.

    Returns:
      The bindings, such as ["MIXTURE = 'flan'", "HELD_OUT = None"].
    """
    bindings = []
    if mixture:
        bindings.append(binding(f"MIXTURE={mixture}"))
    if held_out:
        value = "None" if held_out == "none" else held_out
        bindings.append(binding(f"HELD_OUT={value}"))
    return bindings
