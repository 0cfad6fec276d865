"""Flags that several programs share."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import jax

from flan_jax.cli.gin_settings import MACROS, binding
from flan_jax.data.config import default_cache_dir
from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import Preemption
from flan_jax.training.settings import Settings

GIN_PREFIX = "--gin."
GIN_EPILOG = (
    "--gin.NAME=value sets a gin macro or parameter, e.g. --gin.STEPS=1000 or "
    f"--gin.TrainConfig.log_every=50. Repeatable. Macros: {', '.join(MACROS)}."
)


def settings_parser(
    program: str, description: str, *, gin_file_required: bool = True
) -> argparse.ArgumentParser:
    """Returns a parser with the flags of every program that reads settings.

    Args:
      program: the name of the launch script.
      description: what the program does, in a sentence.
      gin_file_required: whether --gin_file must be given.

    Returns:
      An argparse.ArgumentParser with --gin_file, --run_dir and --dry_run.
    """
    parser = argparse.ArgumentParser(
        prog=program, description=description, epilog=GIN_EPILOG, allow_abbrev=False
    )
    parser.add_argument(
        "--gin_file",
        action="append",
        required=gin_file_required,
        help="a gin file; looked for in gin/ too; repeatable",
    )
    parser.add_argument(
        "--run_dir",
        type=local_folder,
        help="where the run is kept (default: runs/<name of the first gin file>)",
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="show what would be done, without a run directory",
    )
    return parser


def add_host_flags(parser: argparse.ArgumentParser) -> None:
    """Adds T5X's flags for several processes whose cluster JAX does not recognize.

    Args:
      parser: the program's parser.
    """
    parser.add_argument(
        "--coordinator_address", metavar="HOST:PORT", help="the address of process 0"
    )
    parser.add_argument(
        "--process_count",
        type=int,
        help="the number of processes that do the run together",
    )
    parser.add_argument(
        "--process_index", type=int, help="the index of this process, counted from 0"
    )


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parses a command line.

    Args:
      parser: the program's parser, without the flags --gin.NAME=value.
      arguments: the command line's arguments.

    Returns:
      (flags, gin bindings). A binding is text that gin reads: "STEPS = 1000".
    """
    gin_flags = [argument for argument in arguments if argument.startswith(GIN_PREFIX)]
    other_flags = [
        argument for argument in arguments if not argument.startswith(GIN_PREFIX)
    ]
    bindings = [binding(flag.removeprefix(GIN_PREFIX)) for flag in gin_flags]
    return parser.parse_args(other_flags), bindings


def run_dir_of(flags: argparse.Namespace) -> str:
    """Returns --run_dir, or runs/<name of the first gin file>."""
    default = f"runs/{Path(flags.gin_file[0]).stem}"
    return os.path.expanduser(flags.run_dir or default)


def local_folder(name: str) -> str:
    """The argparse type of flags that name a run directory or a sweep directory.

    Args:
      name: what the user wrote behind the flag.

    Returns:
      `name`, unchanged.

    Raises:
      argparse.ArgumentTypeError: the name is a URL, such as gs://bucket/run.
    """
    if "://" in name:
        raise argparse.ArgumentTypeError(
            f"{name} is not a folder: runs and sweeps are kept in files. Mount the bucket "
            "(gcsfuse) on every host, and name the folder in it"
        )
    return name


def join_processes(flags: argparse.Namespace) -> None:
    """Makes this process one of several, by the flags or by the cluster's environment."""
    multihost.initialize(
        flags.coordinator_address, flags.process_count, flags.process_index
    )
    # JAX takes SIGTERM for itself even where it finds a single process, so listen again.
    Preemption()


def keep_compiled_programs(settings: Settings) -> None:
    """Turns on JAX's persistent compilation cache, in the run's cache directory."""
    cache_dir = settings.data.cache_dir or default_cache_dir()
    jax.config.update("jax_compilation_cache_dir", f"{cache_dir}/compiled")
    # JAX keeps programs that took a second to compile. Scoring compiles a dozen smaller ones,
    # and each run of a sweep is a new process.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
