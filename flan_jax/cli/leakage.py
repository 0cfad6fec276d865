"""The program launch/leakage.py: does training data leak into the held-out tasks?"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import rich.box
import rich.table

from flan_jax.cli import arguments, gin_settings
from flan_jax.cli.mixture import DEFAULT_GIN_FILE, add_mixture_flags, mixture_bindings
from flan_jax.data.leakage import Audit, audit_mixture, refuse_leaks
from flan_jax.errors import InputError
from flan_jax.json_files import read_json, write_json
from flan_jax.progress import table_console
from flan_jax.run_dir import LEAKAGE, MANIFEST
from flan_jax.training.settings import Settings


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    parser = arguments.settings_parser(
        "leakage.py",
        "Audit a mixture, or the run in --run_dir, which keeps the findings: do its training rows "
        "leak into the held-out tasks?",
        gin_file_required=False,
    )
    add_mixture_flags(parser)
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.

    Raises:
      InputError: training examples overlap with held-out ones more than allowed, or a setting is
        refused.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    run_dir = os.path.expanduser(flags.run_dir) if flags.run_dir else None
    default_gin_file = f"{run_dir}/config.gin" if run_dir else DEFAULT_GIN_FILE
    settings = gin_settings.load_settings(
        flags.gin_file or [default_gin_file],
        mixture_bindings(flags.mixture, flags.held_out) + bindings,
    )

    if run_dir:
        _check_same_data(settings, run_dir)
    audit = audit_mixture(settings.data)
    if run_dir:
        write_json(Path(run_dir) / LEAKAGE, audit.to_json())
    _print_audit(audit)
    refuse_leaks(audit.leaks(settings.data.max_leakage or 0.0))
    table_console().print("no leak")


def _print_audit(audit: Audit) -> None:
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        title="What training shares with the held-out tasks",
        title_justify="left",
    )
    for name in ("held out", "trained on", "origin"):
        table.add_column(name)
    table.add_column("near-duplicates", justify="right")
    table.add_column("of")
    for finding in audit.findings:
        table.add_row(
            finding.held_out,
            finding.trained,
            finding.origin,
            f"{finding.duplicates:,}",
            f"{finding.examples:,}",
        )

    console = table_console()
    console.print(table)
    for held_out, trained in audit.labels.items():
        console.print(
            f"the options of {held_out} are also those of {', '.join(trained)}",
            highlight=False,
            soft_wrap=True,
        )
    for finding in audit.findings[:3]:
        if finding.pair is not None:
            held_out_text, trained_text = finding.pair
            console.print(
                f"\n{finding.held_out}, held out: {held_out_text}\n"
                f"{finding.trained}, trained on: {trained_text}",
                markup=False,
            )


def _check_same_data(settings: Settings, run_dir: str) -> None:
    """Checks that the settings read the same data as the run in a directory."""
    manifest = read_json(Path(run_dir) / MANIFEST) or {}
    run_data = manifest.get("data")
    if run_data is None:
        raise InputError(
            f"{run_dir} holds no run whose audit could be kept there; give the --run_dir of a "
            "training run"
        )
    # Through JSON, so that tuples compare as lists.
    asked = json.loads(
        json.dumps({name: getattr(settings.data, name) for name in run_data})
    )
    differing = [
        f"{name} is {run_data[name]} in the run, {asked[name]} now"
        for name in run_data
        if run_data[name] != asked[name]
    ]
    if differing:
        raise InputError(
            f"{run_dir} holds a run of other data: {'; '.join(differing)}. Give --run_dir alone to "
            "audit that run"
        )
