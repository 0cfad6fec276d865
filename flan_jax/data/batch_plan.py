"""The plan: which examples lie in which row of which step, as a pure function of (plan, step).

The stream of examples is endless and computable at any position: a cycle of sum(rates) draws in which every task's draws
lie evenly spaced, each task walking through its own permutation of its examples, a new one every epoch, in the next
rendering where there are several. The stream is cut
into blocks of `block_examples`; a block is packed into exactly `block_steps` batches. So a batch needs its own block and
nothing before it, and a run resumes from the step number alone, on any number of hosts.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from flan_jax.batch import Architecture
from flan_jax.data.packing import Packer
from flan_jax.data.permutation import mix, permute
from flan_jax.errors import InputError

VERSION = 2
BLOCK_EXAMPLES = 16_384
"""About how many examples are packed together: enough to fill rows well, few enough to pack in a tenth of a second."""


class ExampleRef(NamedTuple):
    """Example `index` of the training store of `task`."""

    task: str
    index: int


@dataclasses.dataclass(frozen=True)
class TaskLengths:
    """Tokens of each training example of a task, before truncation and without EOS: int arrays of shape [examples].

    With `renderings` R > 1, examples lie in the store R times in a row, in different templates; shape [examples * R].
    """

    inputs: np.ndarray
    targets: np.ndarray
    renderings: int = 1


class Rows(NamedTuple):
    """Examples laid out in rows: those of row r are entries starts[r]:starts[r + 1] of `task` and `index`."""

    starts: np.ndarray
    task: np.ndarray
    index: np.ndarray


class MixturePlan:
    """See the module's text. `lengths` are the tokens a row holds, {"inputs": E, "targets": D}, EOS included.

    An encoder-decoder row packs in two dimensions. A decoder-only row holds each example's inputs and targets one after the
    other in E + D tokens. Without `packing` every row holds one example.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskLengths],
        rates: Mapping[str, int],
        *,
        architecture: Architecture,
        batch_size: int,
        lengths: Mapping[str, int],
        seed: int,
        packing: bool = True,
    ):
        _check(tasks, rates, batch_size, lengths)
        self.names = tuple(tasks)
        self.architecture: Architecture = architecture
        self.batch_size, self.lengths = batch_size, dict(lengths)
        self.seed, self.packing = seed, packing
        self.rates = np.array([rates[name] for name in self.names], np.int64)
        self._raw = tuple(tasks.values())
        self._inputs = [
            np.minimum(t.inputs + 1, lengths["inputs"]).astype(np.int32) for t in self._raw
        ]
        self._targets = [
            np.minimum(t.targets + 1, lengths["targets"]).astype(np.int32) for t in self._raw
        ]
        self._renderings = np.array([t.renderings for t in self._raw], np.int64)
        stored = np.array([len(t) for t in self._inputs], np.int64)
        self._counts = stored // self._renderings
        self._flat_starts = np.concatenate([[0], np.cumsum(stored)])[:-1]
        self._flat_inputs, self._flat_targets = (
            np.concatenate(self._inputs),
            np.concatenate(self._targets),
        )
        self._cycle_task, self._cycle_rank = _interleave(self.rates, seed)
        self._task_keys = np.array([_key(seed, name) for name in self.names], np.uint64)
        self.block_steps, self.block_examples = self._size_blocks()
        self._lates: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        # As many as the prefetch thread and a reader of the ledger can be in at once.
        self.block = functools.lru_cache(maxsize=4)(self._block)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Equal for two plans exactly when every batch of theirs holds the same examples in the same places."""
        tasks = {
            name: [
                int(rate),
                len(raw.inputs),
                raw.renderings,
                zlib.crc32(raw.inputs.tobytes()),
                zlib.crc32(raw.targets.tobytes()),
            ]
            for name, rate, raw in zip(self.names, self.rates, self._raw, strict=True)
        }
        settings = [
            VERSION,
            self.architecture,
            self.batch_size,
            self.lengths,
            self.seed,
            self.packing,
            tasks,
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def rows(self, step: int, rows: slice = slice(None)) -> list[list[ExampleRef]]:
        """The examples of each row of batch `step` (or of a slice of its rows), in their order in the row."""
        layout = self.layout(step)
        refs = [
            ExampleRef(self.names[t], int(i))
            for t, i in zip(layout.task, layout.index, strict=True)
        ]
        bounds = layout.starts.tolist()
        return [refs[start:stop] for start, stop in itertools.pairwise(bounds)][rows]

    def layout(self, step: int) -> Rows:
        """The same as arrays; `task` counts in the order of `names`."""
        if step < 0:
            raise InputError(f"there is no step {step}; steps count from 0")
        block, offset = divmod(step, self.block_steps)
        whole, _ = self.block(block)
        starts = whole.starts[offset * self.batch_size : (offset + 1) * self.batch_size + 1]
        return Rows(
            starts - starts[0],
            whole.task[starts[0] : starts[-1]],
            whole.index[starts[0] : starts[-1]],
        )

    def stream(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(task, index) of the stream's positions start:stop."""
        cycle, slot = np.divmod(np.arange(start, stop, dtype=np.int64), len(self._cycle_task))
        task = self._cycle_task[slot]
        epoch, position = np.divmod(
            cycle * self.rates[task] + self._cycle_rank[slot], self._counts[task]
        )
        key = mix(self._task_keys[task] + epoch.astype(np.uint64))
        renderings = self._renderings[task]
        return task, permute(position, self._counts[task], key) * renderings + epoch % renderings

    def example_lengths(self, task: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(input, target) tokens that each example takes in a row, EOS included, after truncation."""
        flat = self._flat_starts[task] + index
        return self._flat_inputs[flat], self._flat_targets[flat]

    def _block(self, block: int) -> tuple[Rows, int]:
        """(rows of one block, number of examples set aside).

        The few that find no room in their own block go to the next. Set aside are those that find none there either:
        they come again in their task's next epoch. Block sizes are chosen so that this practically never happens.
        """
        packer, task, index, row = self._pack(block)
        set_aside = 0
        if block > 0:
            late_task, late_index = self._late(block - 1)
            late_row = packer.add_all(*self._sizes(late_task, late_index))
            set_aside = int((late_row < 0).sum())
            task, index, row = (
                np.append(task, late_task),
                np.append(index, late_index),
                np.append(row, late_row),
            )
        kept = np.flatnonzero(row >= 0)
        rows = self.block_steps * self.batch_size
        shuffled = permute(row[kept], rows, _key(self.seed, f"rows of block {block}"))
        order = np.argsort(shuffled, kind="stable")
        starts = np.searchsorted(shuffled[order], np.arange(rows + 1))
        return Rows(starts, task[kept][order], index[kept][order]), set_aside

    def _late(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """(task, index) of a block's own examples that find no room in it."""
        if block not in self._lates:
            self._pack(block)
        return self._lates[block]

    def _pack(self, block: int) -> tuple[Packer, np.ndarray, np.ndarray, np.ndarray]:
        """(the packer, then task, index and row, -1 for none, of each of the block's own examples)."""
        task, index = self.stream(block * self.block_examples, (block + 1) * self.block_examples)
        packer = self._packer(self.block_steps * self.batch_size)
        row = packer.add_all(*self._sizes(task, index)) if self.packing else np.arange(len(task))
        self._lates[block] = task[row < 0], index[row < 0]
        return packer, task, index, row

    def _packer(self, rows: int) -> Packer:
        if self.architecture == "encoder_decoder":
            return Packer(self.lengths["inputs"], self.lengths["targets"], rows)
        return Packer(self.lengths["inputs"] + self.lengths["targets"], 1, rows)

    def _sizes(self, task: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = self.example_lengths(task, index)
        if self.architecture == "encoder_decoder":
            return inputs, targets
        return inputs + targets, np.zeros_like(targets)

    def _size_blocks(self) -> tuple[int, int]:
        """(steps, examples) of a block, so that its examples fill its rows and, but for rare ones, fit in.

        The rows that some stretches of the stream take are measured by packing them; the margin is two standard
        deviations of a block's size, as blocks differ in the lengths that the permutations deal them.
        """
        if not self.packing:
            steps = max(1, BLOCK_EXAMPLES // self.batch_size)
            return steps, steps * self.batch_size
        packers = [self._packer(BLOCK_EXAMPLES) for _ in range(3)]
        for i, packer in enumerate(packers):
            packer.add_all(*self._sizes(*self.stream(i * BLOCK_EXAMPLES, (i + 1) * BLOCK_EXAMPLES)))
        needed = np.array([packer.opened for packer in packers])
        steps = max(1, round(float(needed.mean()) / self.batch_size))
        task, index = self.stream(0, BLOCK_EXAMPLES)
        inputs, targets = self._sizes(task, index)
        size = np.maximum(inputs / packers[0].inputs, targets / packers[0].targets)
        spread = 2 * _spread_within_tasks(size, task) / needed.mean() * np.sqrt(len(size))
        examples = BLOCK_EXAMPLES * steps * self.batch_size / needed.mean()
        return steps, max(1, int(examples * (1 - spread * np.sqrt(BLOCK_EXAMPLES / examples))))


def _spread_within_tasks(size: np.ndarray, task: np.ndarray) -> float:
    """The standard deviation of the examples' sizes around their task's mean (quotas fix how many each task gives)."""
    counts = np.maximum(np.bincount(task), 1)
    mean = np.bincount(task, size) / counts
    return float(np.sqrt(np.mean((size - mean[task]) ** 2)))


def _interleave(rates: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(task, how many of that task came before) for each slot of a cycle of sum(rates) slots.

    The draws of a task lie 1/rate apart, from an offset of its own, so that any stretch of the cycle holds each task in
    exact proportion, to within one example at either end.
    """
    task = np.repeat(np.arange(len(rates)), rates)
    rank = np.concatenate([np.arange(rate) for rate in rates])
    offset = np.array([_key(seed, f"offset {t}") / 2**64 for t in range(len(rates))])
    order = np.argsort((rank + offset[task]) / rates[task], kind="stable")
    return task[order].astype(np.int32), rank[order]


def _key(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "little")


def _check(
    tasks: Mapping[str, TaskLengths],
    rates: Mapping[str, int],
    batch_size: int,
    lengths: Mapping[str, int],
) -> None:
    if not tasks:
        raise InputError("a plan needs at least one task")
    if batch_size < 1:
        raise InputError(f"BATCH_SIZE is {batch_size}; it counts rows and must be at least 1")
    for side in ("inputs", "targets"):
        if lengths.get(side, 0) < 1:
            raise InputError(
                f"LENGTHS gives {side} {lengths.get(side, 0)} tokens; write e.g. {{'inputs': 1024, 'targets': 256}}"
            )
    if lengths["targets"] < 2:
        raise InputError(
            "LENGTHS gives targets 1 token, which EOS takes: every target would be truncated away. Give at least 2"
        )
    for name, task in tasks.items():
        if len(task.inputs) == 0:
            raise InputError(f"task {name!r} has no training examples")
        if task.renderings < 1 or len(task.inputs) % task.renderings:
            raise InputError(
                f"task {name!r}: {len(task.inputs)} rows are not {task.renderings} renderings of each example"
            )
        if rates.get(name, 0) < 1:
            raise InputError(
                f"task {name!r} has the mixing rate {rates.get(name, 0)}; rates are integers from 1"
            )
