"""What every program shares: signals, errors as messages for the user, and exit codes."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import absl.logging
import jax

from flan_jax.errors import (
    BAD_INPUT,
    DONE,
    ERROR,
    SAVED,
    InputError,
    RunFailed,
    describe_os_error,
)
from flan_jax.hardware import run_cpu_programs_in_caller
from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import Preempted, Preemption
from flan_jax.weights.orbax import CheckpointFailed

Main = Callable[[Sequence[str]], None]
"""A program: takes the command line's arguments and raises what went wrong."""


def run(main: Main, *, resumable: bool = True) -> NoReturn:
    """Runs a program with the command line's arguments and ends the process with its exit code.

    Args:
      main: the program.
      resumable: whether the same command goes on where a stopped one ended.
    """
    code = exit_code(main, sys.argv[1:], resumable=resumable)
    sys.stdout.flush()
    sys.stderr.flush()
    # A normal exit would wait for threads that still save or compile, and print their errors.
    os._exit(code)


def exit_code(main: Main, arguments: Sequence[str], *, resumable: bool = True) -> int:
    """Runs a program, prints its error for the user, and returns the exit code.

    Args:
      main: the program.
      arguments: its command-line arguments.
      resumable: whether the same command goes on where a stopped one ended.

    Returns:
      DONE, ERROR, BAD_INPUT or SAVED.
    """
    # orbax logs the errors of its background threads, and raises them in the main thread, too.
    absl.logging.set_verbosity(absl.logging.FATAL)
    run_cpu_programs_in_caller()
    try:
        Preemption()
        main(arguments)
        multihost.shutdown()
    except Preempted:
        return _end_preempted(resumable)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 (the last line of defence)
        return _end_with_error(error)
    return DONE


def _end_preempted(resumable: bool) -> int:
    if not resumable:
        print(
            "stopped by SIGTERM before the end. The same command starts from the beginning.",
            file=sys.stderr,
        )
        return ERROR
    print(
        "stopped by SIGTERM; everything is saved. The same command goes on from there.",
        file=sys.stderr,
    )
    multihost.shutdown()
    return SAVED


def _end_with_error(error: BaseException) -> int:
    code, message = _describe(error)
    text = message or traceback.format_exc()
    if message is None or _may_come_from_another_process(error):
        multihost.wait_for_remote_failure()
    stream = sys.__stderr__ if multihost.is_multi_process() else sys.stderr
    print(text, file=stream, flush=True)
    multihost.announce_failure(text, code)
    return code


def _describe(error: BaseException) -> tuple[int, str | None]:
    """Returns (exit code, message).

    The message is None for unexpected errors, whose traceback is printed.
    """
    if isinstance(error, InputError):
        return BAD_INPUT, f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        return ERROR, (
            "stopped by Ctrl-C. The same command goes on from what was saved, if it saves anything."
        )
    if isinstance(error, OSError):
        return ERROR, f"error: {describe_os_error(error)}"
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(
        error
    ):
        first_line = str(error).splitlines()[0]
        return ERROR, (
            f"error: out of memory on {jax.devices()[0].platform}: {first_line}\n"
            "Lower BATCH_SIZE, raise TrainConfig.microbatches, set the model's remat, or give MESH "
            "a larger fsdp; launch/preflight.py says what fits"
        )
    if isinstance(error, RunFailed):
        return ERROR, f"error: {error}"
    return ERROR, None


def _may_come_from_another_process(error: BaseException | None) -> bool:
    """Returns whether the error may be caused by the failure of another process.

    Such a failure shows in a computation or in a checkpoint, which all processes take part in.
    """
    while error is not None:
        if isinstance(error, (jax.errors.JaxRuntimeError, CheckpointFailed)):
            return True
        error = error.__cause__ or error.__context__
    return False
