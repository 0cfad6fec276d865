"""Measures fresh processes: a benchmark's child, and a training run up to its first step."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POLL = 0.02
"""Seconds between two looks at a file."""
LONGEST = 1800
"""Seconds after which a run that has not taken its first step is given up."""


def run_child(script: str, *arguments: object) -> dict[str, Any]:
    """Runs `python script --child arguments`.

    Returns:
      What the process gave to report(), with `seconds` from its start to that call.
    """
    return run_children(script, arguments)[0]


def run_children(script: str, *each: Sequence[object]) -> list[dict[str, Any]]:
    """Runs a process for each of several lists of arguments at the same time, like run_child."""
    start = time.monotonic()
    children = [
        subprocess.Popen(
            [sys.executable, script, "--child", *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for arguments in each
    ]
    printed = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise SystemExit(
            f"{script} {each}: exit codes {[child.returncode for child in children]}"
        )
    # Gloo prints to stdout, too, without a line's end.
    found = [
        json.loads(output[output.rindex('{"now"') :].splitlines()[0])
        for output in printed
    ]
    return [facts | {"seconds": facts.pop("now") - start} for facts in found]


def report(**facts: object) -> None:
    """Prints a child's facts when its timed work is done.

    The monotonic clock is the same in all processes.
    """
    print(
        json.dumps({"now": time.monotonic(), "peak_gib": peak_gib(), **facts}),
        flush=True,
    )


def print_result(result: Mapping[str, Any]) -> None:
    """Prints the one line of a benchmark's result, with the machine's load in the last minute."""
    print(
        json.dumps(
            {
                **result,
                "cores": os.cpu_count(),
                "load_average": round(os.getloadavg()[0], 2),
            }
        )
    )


def peak_gib() -> float:
    """Returns the largest resident memory of this process so far, with mapped pages of files.

    On Linux getrusage is not used: a process begins with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return (
            int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 2**30
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30


def to_first_step(
    command: Sequence[str], run_dir: Path, folder: Path, cache: Path
) -> dict[str, Any]:
    """Starts a training run and ends it with SIGTERM once metrics.jsonl has its first line.

    Returns:
      {"seconds": from the start of the process to that line, "fit": seconds since the training loop
      began, "loss": the step's loss, "output": what the run printed}.
    """
    arguments = [
        "--gin_file=flan_mixture.gin",
        f"--run_dir={run_dir}",
        "--gin.TrainConfig.log_every=1",
    ]
    log = run_dir.with_suffix(".log")
    start = time.monotonic()
    with log.open("w") as sink:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=environment(cache),
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            row = _first_line(process, run_dir / "metrics.jsonl", start + LONGEST)
            seconds = time.monotonic() - start
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait()
    if row is None:
        raise SystemExit(
            f"no step was taken (exit code {code}):\n{log.read_text()[-3000:]}"
        )
    return {
        "seconds": seconds,
        "fit": row["seconds"],
        "loss": row["loss"],
        "output": log.read_text(),
    }


def environment(cache: Path) -> Mapping[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(cache)}


def _first_line(
    process: subprocess.Popen, metrics: Path, give_up: float
) -> dict[str, Any] | None:
    while time.monotonic() < give_up:
        ended = process.poll() is not None
        if metrics.exists() and "\n" in (text := metrics.read_text()):
            return json.loads(text.splitlines()[0])
        if ended:
            return None
        time.sleep(POLL)
    return None


def clone(folder: Path) -> str:
    """Clones HEAD to `folder`, without uncommitted changes, and returns the commit."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return found.stdout.strip()[:10]


def already_scored(run_dir: Path, new: Path) -> Path:
    """Makes a run directory that has the pre-training scores of another one already."""
    shutil.copytree(run_dir / "eval", new / "eval")
    return new


def prompts(output: str) -> int:
    """Returns the number of prompts that a run scored before training, from its output."""
    found = re.search(r"evaluate before training \d+/(\d+)", output)
    return int(found.group(1)) if found else 0
