import errno

import jax
import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.cli import program  # fmt: skip
from flan_jax.errors import InputError
from flan_jax.parallel.preemption import Preempted
from flan_jax.training.metrics_log import NotFinite


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (None, 0, ""),
        (Preempted(), 42, "everything is saved. The same command goes on"),
        (InputError("write it otherwise"), 2, "error: write it otherwise\n"),
        (NotFinite("the loss is nan at step 3"), 1, "the loss is nan at step 3"),
        (
            OSError(errno.ENOSPC, "No space left", "/run/file"),
            1,
            "error: the disk is full while writing /run/file. Make room",
        ),
        (
            jax.errors.JaxRuntimeError(
                "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore"
            ),
            1,
            "error: out of memory on cpu: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nLower BATCH_SIZE",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            1,
            "error: [Errno 5] Input/output error",
        ),
        (ZeroDivisionError("a bug"), 1, "Traceback"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(capsys, raised, code, said):
    def main(command_line):
        if raised is not None:
            raise raised

    assert program.exit_code(main, []) == code
    output = capsys.readouterr().err
    assert said in output
    assert ("Traceback" in output) == (type(raised) is ZeroDivisionError)


def test_a_program_that_saves_nothing_does_not_say_that_it_did(capsys):
    def main(command_line):
        raise Preempted

    assert program.exit_code(main, [], resumable=False) == 1
    assert (
        "stopped by SIGTERM before the end. The same command starts from the beginning.\n"
        in capsys.readouterr().err
    )
