"""Makes a base model of the practice world, in stages, each trained from the one before.

python launch/practice_base.py [--gin_file=base_lm.gin] [--run_dir=runs/practice_base]
    [--gin.NAME=value]

The stages have not been run to their end in this form (tasks/practice/README.md).
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LAUNCH = Path(__file__).resolve().parent
STAGES = ("lists", "pairs", "retellings", "reading", "knowledge", "documents")
"""What is trained on, one after the other: files of gin/base, and at last the base's own file."""


class Trainer:
    """Runs `launch/train.py`, once for each stage, and hands on the signals that ask it to save."""

    def __init__(self):
        """Takes over SIGINT and SIGTERM."""
        self.signal: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hand_on)

    def train(self, arguments: Sequence[str]) -> int:
        """Returns the exit code of a stage; 128 + the signal's number if a signal has ended it.

        Args:
          arguments: those of `launch/train.py`.
        """
        command = [sys.executable, str(LAUNCH / "train.py"), *arguments]
        # In a session of its own, so that each signal reaches it once.
        self._process = subprocess.Popen(command, start_new_session=True)
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def _hand_on(self, number, frame):
        self.signal = number
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """Trains stage after stage.

    The same command goes on where it was stopped: a finished stage is not repeated.

    Args:
      arguments: the command line's arguments. Settings (`--gin.NAME=value`) are for every stage.

    Returns:
      The exit code of the last `launch/train.py`: 0 when all stages are finished.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--gin_file",
        action="append",
        help="the base, base_lm.gin (an encoder-decoder, the default) or base_lm_decoder.gin, and "
        "further files for every stage",
    )
    parser.add_argument(
        "--run_dir",
        type=Path,
        default=Path("runs/practice_base"),
        help="a folder for the stages' run directories",
    )
    flags, settings = parser.parse_known_args(arguments)
    refused = [
        text for text in settings if text.startswith(("--gin.WARM_START", "--dry_run"))
    ]
    if refused:
        print(
            f"error: {refused[0]} is for a single run, and each stage starts from the one before; "
            "use launch/train.py with a stage's gin files",
            file=sys.stderr,
        )
        return 2

    trainer = Trainer()
    stage_before: Path | None = None
    for number, stage in enumerate(STAGES, 1):
        gin_files = list(flags.gin_file or ["base_lm.gin"])
        if stage != "documents":
            gin_files.append(f"base/{stage}.gin")
        run_dir = flags.run_dir / f"{number}_{stage}"
        command = [f"--gin_file={file}" for file in gin_files]
        command.append(f"--run_dir={run_dir}")
        if stage_before is not None:
            command.append(f"--gin.WARM_START={stage_before}")
        print(f"stage {number} of {len(STAGES)}: {stage}", flush=True)
        code = trainer.train([*command, *settings])
        if code != 0:
            return code
        if trainer.signal is not None:
            return 128 + trainer.signal
        stage_before = run_dir
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
