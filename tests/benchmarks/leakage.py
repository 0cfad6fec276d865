"""Measures the leakage audit of 20,000 held-out rows against a million training rows.

    python tests/benchmarks/leakage.py [--train 1000000] [--held_out 20000] [--words 60]

Rows are texts of `words` words drawn from a vocabulary of 20,000 (a FLAN input has 120 words on
average, half of them under 60). One held-out row in a hundred is planted in the training rows with
one word changed; `recall` is the share of these that the audit finds, and it must find nothing
else. `value` is the minutes from the call of audit() to its end; the peak is that of the largest
process. Targets: 3 minutes and 4 GiB on two cores.
"""

import argparse
import dataclasses
import random
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes

from flan_jax.data.leakage import audit
from flan_jax.data.store_requests import Request
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import FormatTemplate

TASKS = 40
PLANTED = 100
"""One of this many held-out rows has a near-duplicate."""


@dataclasses.dataclass(frozen=True)
class Words:
    """Rows of `count` texts: those of `planted` with one word changed, then random ones."""

    count: int
    words: int
    seed: int
    planted: tuple[str, ...] = ()

    def rows(self, split: str) -> Iterator[dict[str, str]]:
        """Yields the rows, the same for each split."""
        rng = random.Random(self.seed)
        for text in self.planted:
            words = text.split()
            words[rng.randrange(len(words))] = "changed"
            yield {"text": " ".join(words)}
        for _ in range(self.count - len(self.planted)):
            numbers = rng.choices(range(20_000), k=self.words)
            yield {"text": " ".join(f"w{number}" for number in numbers)}

    def fingerprint(self, split: str) -> str:
        """Returns a text that depends on all settings."""
        return repr(self)

    @property
    def provenance(self) -> dict[str, str]:
        """Where the rows are from, see Source.provenance."""
        return {"kind": "generated", "where": "leakage.Words"}


def fields(row: Mapping[str, str]) -> dict[str, str]:
    """Returns the fields of a row; the answer does not matter."""
    return {"text": row["text"], "answer": "x"}


def request(name: str, source: Words, split: str) -> Request:
    """Returns a request for a task whose inputs are these texts."""
    task = TemplatedTask(
        name=name,
        cluster="words",
        source=source,
        fields=fields,
        templates=(FormatTemplate("{text}"),),
    )
    return Request(task, split, "train" if split == "train" else "eval")


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=1_000_000)
    parser.add_argument("--held_out", type=int, default=20_000)
    parser.add_argument("--words", type=int, default=60)
    arguments = parser.parse_args()
    held = Words(arguments.held_out, arguments.words, seed=0)
    planted = tuple(row["text"] for row in held.rows("test"))[::PLANTED]
    trained = []
    for number in range(TASKS):
        source = Words(
            count=arguments.train // TASKS,
            words=arguments.words,
            seed=number + 1,
            planted=planted[number::TASKS],
        )
        trained.append(request(f"task_{number}", source, "train"))
    start = time.perf_counter()
    finished = audit(trained, [request("held", held, "test")])
    minutes = (time.perf_counter() - start) / 60
    counts = {finding.trained: finding.duplicates for finding in finished.findings}
    # Random texts share no five words in a row, so a task has no more than its planted rows.
    for number in range(TASKS):
        planted_rows = planted[number::TASKS]
        assert counts.get(f"task_{number}", 0) <= len(planted_rows), counts
    recall = sum(counts.values()) / len(planted)
    peaks = [
        resource.getrusage(who).ru_maxrss / 2**20
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    result = {
        "name": "leakage_audit",
        "value": round(minutes, 2),
        "unit": "minutes",
        "target": 3,
        "peak_gib": round(max(peaks), 2),
        "peak_gib_target": 4,
        "train_rows": arguments.train,
        "held_out_rows": arguments.held_out,
        "words": arguments.words,
        "recall": round(recall, 4),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
