"""Makes a base model of the practice world, as the one that comes with flan_jax.

python launch/practice_base.py [--gin_file=base_lm.gin] [--run_dir=runs/practice_base]
    [--gin.NAME=value]
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LAUNCH = Path(__file__).resolve().parent
STAGES = ("lists", "pairs", "retellings", "reading", "games", "knowledge", "documents")
"""What is trained on, one after the other: files of gin/base, and at last the base's own file."""


def main(arguments: Sequence[str]) -> int:
    """Trains stage after stage, each from the one before.

    The same command goes on where it was stopped: a finished stage is not repeated.

    Args:
      arguments: the command line's arguments.

    Returns:
      The exit code of the last `launch/train.py`: 0 when all stages are finished.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--gin_file",
        default="base_lm.gin",
        help="the base: base_lm.gin, an encoder-decoder, or base_lm_decoder.gin",
    )
    parser.add_argument(
        "--run_dir",
        type=Path,
        default=Path("runs/practice_base"),
        help="a folder for the stages' run directories",
    )
    flags, for_each_stage = parser.parse_known_args(arguments)
    before = None
    for number, stage in enumerate(STAGES, 1):
        run_dir = flags.run_dir / f"{number}_{stage}"
        command = [f"--gin_file={flags.gin_file}", f"--run_dir={run_dir}"]
        if stage != "documents":
            command.append(f"--gin_file=base/{stage}.gin")
        if before is not None:
            command.append(f"--gin.WARM_START={before}")
        print(f"{stage}: {number} of {len(STAGES)}", flush=True)
        train = [sys.executable, str(LAUNCH / "train.py"), *command, *for_each_stage]
        code = _exit_code(train)
        if code != 0:
            return code
        before = run_dir
    return 0


def _exit_code(command: Sequence[str]) -> int:
    """Runs a command, which gets the signals that this process gets, and returns its exit code."""
    process = subprocess.Popen(command)
    # Ctrl-C reaches the command from the terminal; it saves, and this process waits for it.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
