"""The program launch/ablate.py: plans, runs and reports an ablation sweep."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flan_jax.cli import arguments, gin_settings
from flan_jax.errors import InputError, RunFailed
from flan_jax.progress import table_console
from flan_jax.reports import sweep_report
from flan_jax.sweeps import queue, run_sweep
from flan_jax.sweeps.local_engine import LocalEngine
from flan_jax.sweeps.plan import make_plan
from flan_jax.sweeps.sweep_dir import Plan, config_of
from flan_jax.sweeps.tables import listing, power_lines, status_table

LOCAL = "local"
"""The engine of this machine."""


class SweepFailed(RunFailed):
    """Some runs of a sweep failed."""


def parser() -> argparse.ArgumentParser:
    """Returns the flags of a sweep."""
    parser = argparse.ArgumentParser(
        prog="ablate.py",
        description="Plan, train, evaluate and report an ablation sweep; the same command goes on "
        "where it stopped.",
        epilog="ablate.py run --plan=SWEEP_DIR --index=I does one run of a plan. --gin.NAME=value "
        "sets a gin macro or parameter of all runs.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--gin_file",
        action="append",
        help="a gin file with AblationConfig.axes; repeatable",
    )
    parser.add_argument(
        "--sweep_dir",
        type=arguments.local_folder,
        help="where the sweep is kept (default: sweeps/<name of the first gin file>)",
    )
    parser.add_argument(
        "--engine",
        default=LOCAL,
        help="what runs it: local (default), slurm, skypilot, xpk or one of your own, with "
        "settings as in gin/engines; see launch/README.md",
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="list the runs and what they cost, or what would be submitted; do nothing",
    )
    parser.add_argument(
        "--status", action="store_true", help="say how far the sweep is, and do nothing"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write the report of the results so far, and do nothing else",
    )
    parser.add_argument(
        "--slots", type=int, help="runs side by side on this machine (default: 1)"
    )
    parser.add_argument(
        "--devices",
        default="",
        help="ids of GPUs to share out among the slots, e.g. 0,1,2,3",
    )
    return parser


def run_parser() -> argparse.ArgumentParser:
    """Returns the flags of `ablate.py run`, which does one run of a plan."""
    parser = argparse.ArgumentParser(
        prog="ablate.py run", description="One run of a sweep, from where it stopped."
    )
    parser.add_argument(
        "--plan",
        required=True,
        type=arguments.local_folder,
        help="the sweep's directory",
    )
    parser.add_argument(
        "--index", required=True, help="the run's index in runs.jsonl, or 'base'"
    )
    arguments.add_host_flags(parser)
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program; raises what went wrong."""
    if command_line[:1] == ["run"]:
        _do_one_run(command_line[1:])
    else:
        _do_sweep(command_line)


def _do_one_run(command_line: Sequence[str]) -> None:
    flags = run_parser().parse_args(command_line)
    arguments.join_processes(flags)
    sweep_dir = Path(flags.plan).expanduser()
    run = run_sweep.planned(sweep_dir, flags.index)
    settings, config_text = gin_settings.resolve([str(config_of(sweep_dir, run))], [])
    arguments.keep_compiled_programs(settings)
    run_sweep.run_one(sweep_dir, run, settings, config_text)


def _do_sweep(command_line: Sequence[str]) -> None:
    flags, bindings = arguments.parse(parser(), command_line)
    gin_files: list[str] = flags.gin_file or []
    reads_only = flags.status or flags.report
    if not gin_files and not (reads_only and flags.sweep_dir):
        raise InputError(
            "name a gin file with AblationConfig.axes: --gin_file=leave_one_cluster_out.gin"
        )
    sweep_dir = _sweep_dir(flags.sweep_dir, gin_files)
    if flags.status:
        table_console().print(status_table(sweep_dir))
    elif flags.report:
        print(sweep_report.write(sweep_dir))
    elif flags.engine == LOCAL:
        _run_here(flags, gin_files, bindings, sweep_dir)
    else:
        _submit(flags, gin_files, bindings, sweep_dir)


def _sweep_dir(given: str | None, gin_files: Sequence[str]) -> Path:
    name = given or f"sweeps/{Path(gin_files[0]).stem}"
    return Path(name).expanduser().absolute()


def _run_here(
    flags: argparse.Namespace,
    gin_files: list[str],
    bindings: list[str],
    sweep_dir: Path,
) -> None:
    plan = _plan(gin_files, bindings, sweep_dir)
    if flags.dry_run:
        console = table_console()
        console.print(listing(plan))
        for line in power_lines(plan):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        return
    slots = 1 if flags.slots is None else flags.slots
    devices = flags.devices.split(",") if flags.devices else ()
    engine = LocalEngine(sweep_dir, slots, devices)
    if not run_sweep.work(sweep_dir, plan, engine, gin_files):
        raise SweepFailed(
            "not all runs are finished; the same command tries the others again"
        )


def _submit(
    flags: argparse.Namespace,
    gin_files: list[str],
    bindings: list[str],
    sweep_dir: Path,
) -> None:
    engine = gin_settings.load_engine(flags.engine, gin_files, bindings)
    plan = _plan(gin_files, bindings, sweep_dir)
    if flags.slots is not None or flags.devices:
        raise InputError(
            f"--slots and --devices are for this machine; {flags.engine} has settings of its own"
        )
    if flags.dry_run:
        lines = queue.describe_submission(sweep_dir, plan, engine)
    else:
        lines = queue.submit(sweep_dir, plan, engine, gin_files)
    for line in lines:
        print(line, flush=True)


def _plan(gin_files: list[str], bindings: list[str], sweep_dir: Path) -> Plan:
    ablation = gin_settings.load_ablation(gin_files, bindings)
    plan = make_plan(
        ablation, gin_files, bindings, resolve=gin_settings.resolve, sweep_dir=sweep_dir
    )
    if plan.left_out:
        print(
            f"not held out, as none of their tasks can be evaluated: {', '.join(plan.left_out)}",
            flush=True,
        )
    return plan
