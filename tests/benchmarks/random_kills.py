"""SIGKILL at random moments of a run of two processes: does it end with the parameters of an undisturbed one?

    python tests/benchmarks/random_kills.py [--kills 50] [--seed 0]

The run has 8 CPU devices, 4 in each process, fsdp 2 x tensor 4. Again and again one of its processes, at random, is killed
after a random time; the other ends by itself, and the same commands go on. `value` is the number of kills; `equal`: whether all
parameters are bit for bit those of the undisturbed run, and `slowest_end` the longest that the other process took to end.
Targets: 50 kills, equal, 60 s.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import processes
from small_runs import STEPS, parameters, start
from test_hosts import RTE, free_port

FLAGS = (*RTE, "--gin.CheckpointConfig.every=1", "--gin.MESH={'fsdp': 2, 'tensor': 4}")


def start_both(run_dir, cache):
    where = (f"--coordinator_address=localhost:{free_port()}", "--process_count=2")
    return [start(run_dir, cache, *FLAGS, *where, f"--process_index={index}", devices=4) for index in range(2)]


def end(process):
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def finish(run_dir, cache):
    ended = [end(process) for process in start_both(run_dir, cache)]
    assert [code for code, _ in ended] == [0, 0], ended


def killed(run_dir, cache, rng, longest):
    """(seconds that the other process took to end, whether the run was finished before the kill)."""
    both = start_both(run_dir, cache)
    time.sleep(rng.uniform(1.0, longest))
    finished = any(process.poll() == 0 for process in both)
    victim, other = rng.sample(both, 2)
    victim.kill()
    begun = time.monotonic()
    try:
        end(victim), end(other)
    except subprocess.TimeoutExpired:
        other.kill()
    return time.monotonic() - begun, finished


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    rng, slowest, kills = random.Random(flags.seed), 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        cache, undisturbed, disturbed = Path(folder, "cache"), Path(folder, "undisturbed"), Path(folder, "disturbed")
        finish(undisturbed, cache)
        begun = time.monotonic()
        finish(Path(folder, "timed"), cache)  # with what is compiled and prepared there already
        longest = time.monotonic() - begun
        while kills < flags.kills:
            seconds, finished = killed(disturbed, cache, rng, longest)
            slowest, kills = max(slowest, seconds), kills + 1
            if finished:  # the rest of the kills would meet a run that is done
                break
        finish(disturbed, cache)
        ours, theirs = parameters(disturbed), parameters(undisturbed)
        equal = ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    facts = {"benchmark": "random_kills", "value": kills, "unit": "kills", "target": 50}
    processes.print_result({**facts, "equal": equal, "steps": STEPS, "slowest_end_s": round(slowest, 1)})


if __name__ == "__main__":
    main()
