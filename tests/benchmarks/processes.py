"""Measuring things in fresh processes: a benchmark's own child, and a training run up to its first step."""

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


def run_child(script: str, *arguments: Any) -> dict[str, Any]:
    """`python script --child arguments` as a new process: what it printed, and `seconds` from start to report()."""
    return run_children(script, arguments)[0]


def run_children(script: str, *each: Sequence[Any]) -> list[dict[str, Any]]:
    """As run_child, with a process for each of several lists of arguments, side by side."""
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
        raise SystemExit(f"{script} {each}: exit codes {[child.returncode for child in children]}")
    # Gloo prints to stdout, too, without a line's end.
    found = [json.loads(output[output.rindex('{"now"') :].splitlines()[0]) for output in printed]
    return [facts | {"seconds": facts.pop("now") - start} for facts in found]


def report(**facts: Any) -> None:
    """What a child prints when it has done what is timed. The monotonic clock is the same in all processes."""
    print(json.dumps({"now": time.monotonic(), "peak_gib": peak_gib(), **facts}), flush=True)


def print_result(result: Mapping[str, Any]) -> None:
    """A benchmark's one line, with how busy the machine was: processes that ran or waited for a core in the last minute."""
    print(
        json.dumps(
            {**result, "cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)}
        )
    )


def peak_gib() -> float:
    """The largest resident memory of this process so far, mapped pages of files included.

    On Linux not by getrusage: there a process begins with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30


def to_first_step(
    command: Sequence[str], run_dir: Path, folder: Path, cache: Path
) -> dict[str, Any]:
    """Starts a training run and ends it with SIGTERM once metrics.jsonl has its first line.

    {"seconds": from the start of the process to that line, "fit": of these, since the training loop began, "loss",
    "output": what it printed}. XDG_CACHE_HOME is `cache`.
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
        raise SystemExit(f"no step was taken (exit code {code}):\n{log.read_text()[-3000:]}")
    return {
        "seconds": seconds,
        "fit": row["seconds"],
        "loss": row["loss"],
        "output": log.read_text(),
    }


def environment(cache: Path) -> Mapping[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(cache)}


def _first_line(process: subprocess.Popen, metrics: Path, give_up: float) -> dict[str, Any] | None:
    while time.monotonic() < give_up:
        ended = process.poll() is not None
        if metrics.exists() and "\n" in (text := metrics.read_text()):
            return json.loads(text.splitlines()[0])
        if ended:
            return None
        time.sleep(POLL)
    return None


def clone(folder: Path) -> str:
    """A fresh clone of HEAD in `folder`, without what is not committed; returns the commit."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return found.stdout.strip()[:10]


def already_scored(run_dir: Path, new: Path) -> Path:
    """A new run directory with the scores of `run_dir` from before training, which a run then does not repeat."""
    shutil.copytree(run_dir / "eval", new / "eval")
    return new


def prompts(output: str) -> int:
    """How many prompts were scored before training, from what a run printed; 0 when none were."""
    found = re.search(r"evaluate before training \d+/(\d+)", output)
    return int(found.group(1)) if found else 0
