"""The programs: flags to settings to the verb, and an exit code."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import absl.logging
import jax

from flan_jax.cli import verbs
from flan_jax.cli.gin_settings import (
    MACROS,
    binding,
    is_sweep,
    load_ablation,
    load_engine,
    load_model,
    load_settings,
    resolve,
)
from flan_jax.data.config import default_cache_dir
from flan_jax.errors import BAD_INPUT, DONE, ERROR, SAVED, InputError, RunFailed, describe_os_error
from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import Preempted, Preemption
from flan_jax.progress import table_console
from flan_jax.reports import sweep_report
from flan_jax.sweeps import queue as submission
from flan_jax.sweeps import run_sweep
from flan_jax.sweeps.local_engine import LocalEngine
from flan_jax.sweeps.plan import make_plan
from flan_jax.sweeps.sweep_dir import Plan, config_of
from flan_jax.sweeps.tables import listing, status_table
from flan_jax.training.settings import Settings
from flan_jax.weights.formats import FORMATS, format_of
from flan_jax.weights.hugging_face import read_config
from flan_jax.weights.orbax import CheckpointFailed

DEFAULT_GIN_FILE = "flan_mixture.gin"
"""For programs that look at a mixture and train nothing."""
NOT_RESUMED = (verbs.mixture, verbs.leakage, verbs.preflight, verbs.tokenizer)
"""Verbs that begin anew when they were stopped; the others go on from what they saved."""
LOCAL = "local"
"""The engine of this machine."""


def main(
    verb: Callable[[Settings, verbs.Invocation], None], arguments: Sequence[str] | None = None
) -> int:
    """Runs one verb of flan_jax.cli.verbs as a program; returns its exit code."""

    def work() -> None:
        flags, bindings = _parse_flags(verb, sys.argv[1:] if arguments is None else arguments)
        if verb in (verbs.train, verbs.evaluate):
            _join(flags)
        # The mixture to compare with first: gin's state is that of the last settings loaded.
        diff = getattr(flags, "diff", None)
        other = load_settings(flags.gin_file, [*bindings, f"MIXTURE = {diff!r}"]) if diff else None
        plan = _plan_of(flags.gin_file, bindings) if verb is verbs.preflight else None
        settings, config_text = resolve(flags.gin_file, bindings)
        if (
            verb is not verbs.preflight
        ):  # jax cannot read back what it compiled for devices that are not here
            _keep_compiled(settings)
        default = "" if verb is verbs.leakage else f"runs/{Path(flags.gin_file[0]).stem}"
        run_dir = os.path.expanduser(flags.run_dir or default)
        source = settings.training.warm_start
        if verb is verbs.evaluate and source and not flags.run_dir:
            run_dir += f"_of_{Path(source).name}"  # the run of that name is another: it is trained
        tasks = getattr(flags, "tasks", None)
        invocation = verbs.Invocation(
            run_dir=run_dir,
            dry_run=flags.dry_run,
            config_text=config_text,
            other=other,
            picture=getattr(flags, "picture", None),
            tasks=tasks and [name.strip() for name in tasks.split(",")],
            topology=getattr(flags, "topology", None),
            search=getattr(flags, "search", False),
            profile=getattr(flags, "profile", None),
            runs=getattr(flags, "runs", None),
            plan=plan,
        )
        verb(settings, invocation)

    return _exit_code(work, resumed=verb not in NOT_RESUMED)


def _plan_of(gin_files: Sequence[str], bindings: Sequence[str]) -> Plan | None:
    """The plan of a sweep's gin files; None where they are those of a single run."""
    if not is_sweep(gin_files, bindings):
        return None
    return make_plan(
        load_ablation(gin_files, bindings), gin_files, bindings, resolve, Path("sweep")
    )


def convert(arguments: Sequence[str] | None = None) -> int:
    """The program launch/convert.py: weights from one format into another. Returns its exit code."""

    def work() -> None:
        parser = argparse.ArgumentParser(
            prog="convert.py", description=(verbs.convert.__doc__ or "").splitlines()[0]
        )
        parser.add_argument(
            "source",
            metavar="FROM",
            help="a run directory, a Hugging Face folder or a T5X checkpoint",
        )
        parser.add_argument("target", metavar="TO", help="the folder to write; it must not exist")
        parser.add_argument(
            "--to",
            default="hugging_face",
            choices=FORMATS,
            help="the format (default: hugging_face)",
        )
        parser.add_argument(
            "--dtype",
            default="float32",
            help="of a Hugging Face folder: float32, bfloat16 or float16",
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
            help="gin files with MODEL, where FROM does not say it (T5X)",
        )
        flags = parser.parse_args(arguments)
        kind = format_of(flags.source)
        if kind == "hugging_face":
            model = read_config(flags.source)
        else:
            own = Path(flags.source).expanduser() / "config.gin"
            model = load_model(flags.gin_file or ([str(own)] if own.is_file() else []))
        original = flags.original or (flags.source if kind == "hugging_face" else None)
        verbs.convert(
            flags.source,
            flags.target,
            model,
            to=flags.to,
            dtype=flags.dtype,
            original=original,
            tokenizer=flags.tokenizer,
        )

    return _exit_code(work, resumed=False)


def ablate(arguments: Sequence[str] | None = None) -> int:
    """The program launch/ablate.py: an ablation sweep. Returns its exit code; of `run`, that of the run."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return _exit_code(
        (lambda: _run_of_plan(arguments[1:]))
        if arguments[:1] == ["run"]
        else lambda: _sweep(arguments)
    )


def _run_of_plan(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="ablate.py run", description="One run of a sweep, from where it stopped."
    )
    parser.add_argument("--plan", required=True, type=_folder, help="the sweep's directory")
    parser.add_argument("--index", required=True, help="the run's index in runs.jsonl, or 'base'")
    _add_host_flags(parser)
    flags = parser.parse_args(arguments)
    _join(flags)
    sweep_dir = Path(flags.plan).expanduser()
    run = run_sweep.planned(sweep_dir, flags.index)
    settings, text = resolve([str(config_of(sweep_dir, run))], [])
    _keep_compiled(settings)
    run_sweep.run_one(sweep_dir, run, settings, text)


def _sweep(arguments: Sequence[str]) -> None:
    flags = _sweep_flags([a for a in arguments if not a.startswith("--gin.")])
    gin_files: list[str] = flags.gin_file or []
    if not gin_files and not ((flags.status or flags.report) and flags.sweep_dir):
        raise InputError(
            "name a gin file with AblationConfig.axes: --gin_file=leave_one_cluster_out.gin"
        )
    sweep_dir = Path(flags.sweep_dir or f"sweeps/{Path(gin_files[0]).stem}").expanduser().absolute()
    if flags.status:
        table_console().print(status_table(sweep_dir))
        return
    if flags.report:
        print(sweep_report.write(sweep_dir))
        return
    bindings = [binding(a.removeprefix("--gin.")) for a in arguments if a.startswith("--gin.")]
    queue = None if flags.engine == LOCAL else load_engine(flags.engine, gin_files, bindings)
    plan = make_plan(load_ablation(gin_files, bindings), gin_files, bindings, resolve, sweep_dir)
    if plan.left_out:
        print(
            f"not held out, as nothing of them can be evaluated: {', '.join(plan.left_out)}",
            flush=True,
        )
    if queue is not None:
        if flags.slots is not None or flags.devices:
            raise InputError(
                f"--slots and --devices are for this machine; {flags.engine} has settings of its own"
            )
        lines = (
            submission.shown(sweep_dir, plan, queue)
            if flags.dry_run
            else submission.submit(sweep_dir, plan, queue, gin_files)
        )
        for line in lines:
            print(line, flush=True)
        return
    if flags.dry_run:
        table_console().print(listing(plan))
        return
    engine = LocalEngine(
        sweep_dir,
        1 if flags.slots is None else flags.slots,
        flags.devices.split(",") if flags.devices else (),
    )
    if not run_sweep.work(sweep_dir, plan, engine, gin_files):
        raise SweepFailed("not all runs are finished; the same command tries the others again")


def _sweep_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ablate.py",
        description="Plan, train, evaluate and report an ablation sweep; the same command goes on where it stopped.",
        epilog="ablate.py run --plan=SWEEP_DIR --index=I does one run of a plan. --gin.NAME=value sets a gin macro or parameter of all runs.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--gin_file", action="append", help="a gin file with AblationConfig.axes; repeatable"
    )
    parser.add_argument(
        "--sweep_dir",
        type=_folder,
        help="where the sweep is kept (default: sweeps/<name of the first gin file>)",
    )
    parser.add_argument(
        "--engine",
        default=LOCAL,
        help="who runs it: local (default), slurm, skypilot or xpk, with settings as in gin/engines; see launch/README.md",
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
        help="write the report of what is there, and do nothing else",
    )
    parser.add_argument("--slots", type=int, help="runs side by side on this machine (default: 1)")
    parser.add_argument(
        "--devices", default="", help="ids of GPUs to share out among the slots, e.g. 0,1,2,3"
    )
    return parser.parse_args(arguments)


def _folder(name: str) -> str:
    """The type of the flags that name where a run or a sweep is kept."""
    if "://" in name:
        raise argparse.ArgumentTypeError(
            f"{name} is not a folder: runs and sweeps are kept in files. Mount the bucket (gcsfuse) on every host, and name the "
            "folder in it"
        )
    return name


class SweepFailed(RunFailed):
    """Some runs of a sweep failed."""


def _exit_code(work: Callable[[], None], resumed: bool = True) -> int:
    """Runs `work`; what it raises, if anything, is said as a person wants it, and becomes the exit code.

    resumed: whether the same command goes on where it was stopped.
    """
    # What orbax's background threads log as errors, they raise in ours too.
    absl.logging.set_verbosity(absl.logging.FATAL)
    try:
        Preemption()
        work()
        multihost.shutdown()
    except Preempted:
        if not resumed:
            print(
                "stopped by SIGTERM before the end. The same command begins anew.", file=sys.stderr
            )
            return ERROR
        print(
            "stopped by SIGTERM; everything is saved. The same command goes on from there.",
            file=sys.stderr,
        )
        multihost.shutdown()
        return SAVED
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the last line of defence: whatever it is, say what it means
        code, told = _told(error)
        text = told or traceback.format_exc()
        if told is None or _may_be_anothers(error):
            multihost.wait_for_remote_failure()
        print(text, file=sys.__stderr__ if multihost.is_multi_process() else sys.stderr, flush=True)
        multihost.announce_failure(text, code)
        return code
    return DONE


def _told(error: BaseException) -> tuple[int, str | None]:
    """(exit code, what a person is told); no text for what is a bug or worse, or another process's end."""
    if isinstance(error, InputError):
        return BAD_INPUT, f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        return (
            ERROR,
            "stopped by Ctrl-C. The same command goes on from what was saved, if it saves anything.",
        )
    if isinstance(error, OSError):
        return ERROR, f"error: {describe_os_error(error)}"
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
        return ERROR, (
            f"error: out of memory on {jax.devices()[0].platform}: {str(error).splitlines()[0]}\nLower BATCH_SIZE, raise "
            "TrainConfig.microbatches, set the model's remat, or give MESH a larger fsdp; launch/preflight.py says what fits"
        )
    if isinstance(error, RunFailed):
        return ERROR, f"error: {error}"
    return ERROR, None


def run(program: Callable[..., Any]) -> NoReturn:
    """For a launch script: `main` of a verb, or a program of its own. Ends the process with its exit code."""
    code = program() if program in (convert, ablate) else main(program)
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: threads that still save or compile would otherwise complain, or hold a failed process back.
    os._exit(code)


def _may_be_anothers(error: BaseException | None) -> bool:
    """Whether it, or what it comes from, is how the end of another process shows: in a computation, or in what all save together."""
    while error is not None and not isinstance(
        error, (jax.errors.JaxRuntimeError, CheckpointFailed)
    ):
        error = error.__cause__ or error.__context__
    return error is not None


def _parse_flags(
    verb: Callable[..., Any], arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the gin bindings of --gin.NAME=value as text."""
    parser = argparse.ArgumentParser(
        description=(verb.__doc__ or "").splitlines()[0],
        epilog="--gin.NAME=value sets a gin macro or parameter, e.g. --gin.STEPS=1000 or --gin.TrainConfig.log_every=50. Repeatable. "
        f"Macros: {', '.join(MACROS)}.",
        allow_abbrev=False,
    )
    on_mixture = verb in (verbs.mixture, verbs.leakage)
    parser.add_argument(
        "--gin_file",
        action="append",
        required=not on_mixture,
        help="a gin file; looked for in gin/ too; repeatable",
    )
    parser.add_argument(
        "--run_dir",
        type=_folder,
        help="where the run is kept (default: runs/<name of the first gin file>)",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="show what would be done, without a run directory"
    )
    bindings = [a.removeprefix("--gin.") for a in arguments if a.startswith("--gin.")]
    if on_mixture:
        parser.add_argument("mixture", nargs="?", help="a mixture or task, in place of MIXTURE")
        parser.add_argument("--held_out", help="a cluster to hold out, or 'none'")
    if verb in (verbs.train, verbs.evaluate):
        _add_host_flags(parser)
    if verb is verbs.train:
        parser.add_argument(
            "--profile", metavar="N:M", help="trace the steps N to M into the run's profile/"
        )
    if verb is verbs.evaluate:
        parser.add_argument(
            "--tasks",
            help="tasks and mixtures, with commas between (default: the run's, or the held-out)",
        )
    if verb is verbs.preflight:
        parser.add_argument(
            "--topology",
            help="a TPU slice, e.g. v4:4x4x8, or 2xv4:4x4x8 for two of them (default: the devices here)",
        )
        parser.add_argument(
            "--search", action="store_true", help="try meshes and remat policies, and rank them"
        )
        parser.add_argument("--runs", type=int, help="runs like this one: what they cost together")
    if verb is verbs.mixture:
        parser.add_argument("--diff", metavar="MIXTURE", help="a mixture or task to compare with")
        parser.add_argument(
            "--picture", metavar="FILE", help="draw the shares to a .png, .svg, .pdf or .html file"
        )
    flags = parser.parse_args([a for a in arguments if not a.startswith("--gin.")])
    if on_mixture:
        of_run = verb is verbs.leakage and flags.run_dir
        own = str(Path(flags.run_dir).expanduser() / "config.gin") if of_run else DEFAULT_GIN_FILE
        flags.gin_file = flags.gin_file or [own]
        held_out = flags.held_out or ("none" if verb is verbs.mixture else None)
        named = [f"MIXTURE={flags.mixture}"] if flags.mixture else []
        named += [f"HELD_OUT={'None' if held_out == 'none' else held_out}"] if held_out else []
        bindings = named + bindings
    return flags, [binding(text) for text in bindings]


def _add_host_flags(parser: argparse.ArgumentParser) -> None:
    """T5X's, for several processes that do not find one another by themselves."""
    parser.add_argument("--coordinator_address", metavar="HOST:PORT", help="of the first process")
    parser.add_argument("--process_count", type=int, help="how many processes do the run together")
    parser.add_argument("--process_index", type=int, help="which of them this is, from 0")


def _join(flags: argparse.Namespace) -> None:
    multihost.initialize(flags.coordinator_address, flags.process_count, flags.process_index)
    Preemption()  # again: of one process, too, JAX takes SIGTERM for itself


def _keep_compiled(settings: Settings) -> None:
    jax.config.update(
        "jax_compilation_cache_dir", f"{settings.data.cache_dir or default_cache_dir()}/compiled"
    )
    # JAX keeps what took a second. Scoring compiles a dozen smaller programs, and each run of a sweep is a new process.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
