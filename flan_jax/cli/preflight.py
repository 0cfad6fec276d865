"""The program launch/preflight.py: does a run fit, how long does it take, what does it cost?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flan_jax.cli import arguments, gin_settings
from flan_jax.errors import InputError
from flan_jax.preflight.report import Sweep, report_lines
from flan_jax.sweeps.plan import make_plan
from flan_jax.sweeps.sweep_dir import Plan


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    parser = arguments.settings_parser(
        "preflight.py",
        "Say whether a run fits a TPU slice, or the devices here, how long it takes and what it "
        "costs. Nothing is run.",
    )
    parser.add_argument(
        "--topology",
        help="a TPU slice, e.g. v4:4x4x8, or 2xv4:4x4x8 for two of them (default: the devices "
        "here)",
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="try meshes and remat policies, and rank them",
    )
    parser.add_argument(
        "--runs", type=int, help="runs like this one: what they cost together"
    )
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.

    Raises:
      InputError: a flag or a setting is refused.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    plan = _sweep_plan(flags.gin_file, bindings)
    # No compilation cache: jax cannot read back what it compiled for devices that are not here.
    settings = gin_settings.load_settings(flags.gin_file, bindings)

    if flags.runs is not None and plan is not None:
        raise InputError(
            f"--runs={flags.runs}, but the gin files are those of a sweep, whose runs are counted; "
            "leave it out"
        )
    if flags.runs is not None and flags.runs < 1:
        raise InputError(
            f"--runs={flags.runs}, but a sweep has at least one; leave it out"
        )

    sweep = flags.runs
    if plan is not None:
        runs = [*plan.runs, plan.base] if plan.base else list(plan.runs)
        sweep = Sweep(len(runs), sum(run.flops for run in runs))
    for line in report_lines(settings, flags.topology, flags.search, sweep):
        print(line, flush=True)


def _sweep_plan(gin_files: Sequence[str], bindings: Sequence[str]) -> Plan | None:
    """Returns the plan of a sweep's gin files; None if they are those of a single run."""
    if not gin_settings.is_sweep(gin_files, bindings):
        return None
    ablation = gin_settings.load_ablation(gin_files, bindings)
    return make_plan(
        ablation,
        gin_files,
        bindings,
        resolve=gin_settings.resolve,
        sweep_dir=Path("sweep"),
    )
