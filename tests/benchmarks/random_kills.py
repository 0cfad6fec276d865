"""SIGKILL at random moments of a run of two processes: are the parameters the same?

    python tests/benchmarks/random_kills.py [--kills 50] [--seed 0]

The run has 8 CPU devices, 4 in each process, fsdp 2 x tensor 4, and saves every step. Again and
again, at any time between its start and its first steps, one of its processes is killed, and the
other ends by itself, or, four times in five, both are; the same commands go on. A run that is
further than so many kills should find it is killed sooner after its start. `value` is the number of
kills before its end, `alone` those of one process, `steps_at_kills` the steps saved by then;
`equal`: whether all parameters are bit for bit those of the undisturbed run, and `slowest_end` the
longest that the other process took to end. Targets: 50 kills, equal, 60 s.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / folder)
    for folder in ("support", "processes")
]

import numpy as np
import processes
from small_runs import parameters
from test_hosts import start_all

STEPS, ALONE = 150, 0.2
FLAGS = (f"--gin.STEPS={STEPS}", "--gin.CheckpointConfig.every=1")


def end(process, timeout=1200):
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def finish(run_dir, cache, *flags):
    ended = [end(process) for process in start_all(run_dir, cache, 2, *FLAGS, *flags)]
    assert [code for code, _ in ended] == [0, 0], ended


def killed(run_dir, cache, rng, longest):
    """Seconds that the other process took to end; None where both were killed."""
    both = start_all(run_dir, cache, 2, *FLAGS)
    time.sleep(rng.uniform(1.0, longest))
    assert all(process.poll() is None for process in both), (
        "the run ended before it was killed: give it more steps"
    )
    victims = [rng.choice(both)] if rng.random() < ALONE else both
    for victim in victims:
        victim.kill()
    begun = time.monotonic()
    for process in both:
        end(process, timeout=120)
    return time.monotonic() - begun if len(victims) == 1 else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    rng, seconds, saved = random.Random(flags.seed), [], []
    with tempfile.TemporaryDirectory() as folder:
        cache, undisturbed, disturbed = (
            Path(folder, "cache"),
            Path(folder, "undisturbed"),
            Path(folder, "disturbed"),
        )
        finish(undisturbed, cache)
        begun = time.monotonic()
        finish(
            Path(folder, "short"), cache, "--gin.STEPS=8"
        )  # with what is prepared and compiled there already
        longest = time.monotonic() - begun
        for number in range(flags.kills):
            # It may not end before the last kill.
            ahead = number and saved[-1] / STEPS > number / flags.kills
            seconds.append(
                killed(disturbed, cache, rng, longest / 2 if ahead else longest)
            )
            steps = [
                int(each.name)
                for each in (disturbed / "checkpoints").glob("*")
                if each.name.isdigit()
            ]
            saved.append(max(steps, default=0))
            print(
                f"kill {len(saved)}: step {saved[-1]}, the other ended after {seconds[-1]} s",
                flush=True,
            )
        finish(disturbed, cache)
        ours, theirs = parameters(disturbed, STEPS), parameters(undisturbed, STEPS)
        equal = ours.keys() == theirs.keys() and all(
            np.array_equal(ours[name], theirs[name]) for name in theirs
        )
    alone = [each for each in seconds if each is not None]
    facts = {
        "name": "random_kills",
        "value": len(seconds),
        "unit": "kills",
        "target": 50,
        "alone": len(alone),
    }
    facts |= {
        "equal": equal,
        "steps": STEPS,
        "steps_at_kills": saved,
        "slowest_end": round(max(alone, default=0.0), 1),
    }
    processes.print_result(facts)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
