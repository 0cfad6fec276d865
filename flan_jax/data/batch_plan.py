"""The batch plan: which examples lie in which row of which step, as a pure function of the step.

The stream of examples is endless, and any position of it can be computed. It repeats a cycle of
sum(rates) draws in which the draws of each task are evenly spaced. Each task walks through its own
permutation of its examples, a new one in every epoch, and in every epoch in the next of its
renderings.

The stream is cut into blocks of `block_examples`; a block is packed into exactly `block_steps`
batches. So a batch needs its own block, and of the block before it only what found no room there.
A run resumes from the step number alone, on any number of hosts.
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

VERSION = 3
"""Part of every plan's fingerprint. Raise it when a plan of the same lengths gives other rows."""
BLOCK_EXAMPLES = 16_384
"""About how many examples are packed together: enough to fill rows well, and few enough to pack
them in a tenth of a second."""


class ExampleRef(NamedTuple):
    """Example `index` of the training store of `task`."""

    task: str
    index: int


@dataclasses.dataclass(frozen=True)
class TaskLengths:
    """The lengths of a task's training examples, in tokens.

    Attributes:
      segments: int [segments], the length of each segment of each example, without EOS and
        untruncated.
      starts: int [examples + 1]; example i has the segments `starts[i]` to `starts[i + 1] - 1`.
      renderings: with R > 1, each R examples that follow one another are one example of the source
        in different templates.
    """

    segments: np.ndarray
    starts: np.ndarray
    renderings: int = 1

    def __len__(self) -> int:
        return len(self.starts) - 1

    def untruncated(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lengths of the examples' inputs and of their targets.

        The targets are the last segment, the inputs those before it, and EOS ends each segment.

        Returns:
          int64 [examples] and int64 [examples], EOS included.
        """
        last = self.starts[1:] - 1
        before = self._tokens_before_segments()
        inputs = before[last] - before[self.starts[:-1]]
        targets = self.segments[last].astype(np.int64) + 1
        return inputs, targets

    def truncated(self, lengths: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lengths that the examples have in a row.

        The vectorized form of `loader.fit_segments`.

        Args:
          lengths: the most tokens of an example, {"inputs": E, "targets": D}.

        Returns:
          int32 [examples], at most E, and int32 [examples], at most D; EOS included.
        """
        limit = lengths["inputs"]
        inputs, targets = self.untruncated()
        has_older_segments = np.diff(self.starts) > 2
        too_long = np.flatnonzero((inputs > limit) & has_older_segments)
        if len(too_long):
            inputs[too_long] = self._newest_inputs(too_long, limit)
        inputs = np.minimum(inputs, limit).astype(np.int32)
        targets = np.minimum(targets, lengths["targets"]).astype(np.int32)
        return inputs, targets

    def _newest_inputs(self, examples: np.ndarray, limit: int) -> np.ndarray:
        """Returns the tokens of the newest input segments that fit into a limit, at least one."""
        last = self.starts[examples + 1] - 1
        before = self._tokens_before_segments()
        first_that_fits = np.searchsorted(before, before[last] - limit)
        first = np.minimum(first_that_fits, last - 1)
        return before[last] - before[first]

    def _tokens_before_segments(self) -> np.ndarray:
        """int64 [segments + 1]: tokens before each segment, EOS included, and all tokens."""
        before = np.zeros(len(self.segments) + 1, np.int64)
        np.cumsum(self.segments + 1, out=before[1:])
        return before


class RowLayout(NamedTuple):
    """Examples laid out in rows: row r has the entries `starts[r]` to `starts[r + 1] - 1`.

    Attributes:
      starts: int [rows + 1].
      task: int [entries], the task's number in `MixturePlan.names`.
      index: int [entries], the example's index in the task's store.
    """

    starts: np.ndarray
    task: np.ndarray
    index: np.ndarray


class MixturePlan:
    """The batches of a mixture; see the module's docstring.

    An encoder-decoder row is packed in two dimensions. A decoder-only row holds each example's
    inputs and targets one after the other, in E + D tokens.

    Attributes:
      names: the tasks.
      rates: int64 [tasks], the draws of each task in a cycle.
      architecture: the kind of model.
      batch_size: rows of a batch.
      lengths: tokens of a row, {"inputs": E, "targets": D}, EOS included.
      seed: what the order of examples is drawn from.
      packing: whether a row holds several examples.
      block_steps: batches of a block.
      block_examples: examples of a block.
      block: (number of a block) -> (its rows, how many examples were deferred).
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
        """Makes the plan.

        Args:
          tasks: the lengths of each task's examples.
          rates: the mixing rate of each task.
          architecture: the kind of model.
          batch_size: rows of a batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}, EOS included.
          seed: what the order of examples is drawn from.
          packing: whether a row holds several examples.

        Raises:
          InputError: there is nothing to train on, a setting is out of range, or an example has no
            inputs for the encoder.
        """
        _check_sizes(batch_size, lengths)
        if not tasks:
            raise InputError("a plan needs at least one task")
        for name, task in tasks.items():
            _check_task(name, task, rates.get(name, 0), architecture)

        self.names = tuple(tasks)
        self.rates = np.array([rates[name] for name in self.names], np.int64)
        self.architecture: Architecture = architecture
        self.batch_size = batch_size
        self.lengths = dict(lengths)
        self.seed = seed
        self.packing = packing

        self._task_hashes = [_hashes(task) for task in tasks.values()]
        self._renderings = np.array(
            [task.renderings for task in tasks.values()], np.int64
        )
        stored = np.array([len(task) for task in tasks.values()], np.int64)
        self._examples = stored // self._renderings
        self._task_starts = np.cumsum(stored) - stored
        self._inputs = np.empty(stored.sum(), np.int32)
        self._targets = np.empty(stored.sum(), np.int32)
        for start, task in zip(self._task_starts.tolist(), tasks.values(), strict=True):
            of_task = slice(start, start + len(task))
            self._inputs[of_task], self._targets[of_task] = task.truncated(lengths)

        self._cycle_task, self._cycle_rank = _interleave(self.rates, seed)
        self._task_keys = np.array([_key(seed, name) for name in self.names], np.uint64)
        self.block_steps, self.block_examples = self._size_blocks()
        self._overflows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        # As many as the prefetch thread and a reader of the layout can be in at once.
        self.block = functools.lru_cache(maxsize=4)(self._block)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash that is equal for plans whose batches hold the same examples in the same rows."""
        rates = self.rates.tolist()
        tasks = dict(
            zip(self.names, zip(rates, self._task_hashes, strict=True), strict=True)
        )
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
        """Returns the examples of each row of a batch, in their order in the row.

        Args:
          step: the number of the batch.
          rows: which of its rows.
        """
        layout = self.layout(step)
        refs = [
            ExampleRef(self.names[task], index)
            for task, index in zip(
                layout.task.tolist(), layout.index.tolist(), strict=True
            )
        ]
        bounds = itertools.pairwise(layout.starts.tolist())
        return [refs[start:stop] for start, stop in bounds][rows]

    def layout(self, step: int) -> RowLayout:
        """Returns the rows of a batch as arrays.

        Args:
          step: the number of the batch.

        Raises:
          InputError: the step is negative.
        """
        if step < 0:
            raise InputError(f"there is no step {step}; steps count from 0")
        block, offset = divmod(step, self.block_steps)
        layout, _ = self.block(block)
        first_row = offset * self.batch_size
        starts = layout.starts[first_row : first_row + self.batch_size + 1]
        entries = slice(starts[0], starts[-1])
        return RowLayout(
            starts - starts[0], layout.task[entries], layout.index[entries]
        )

    def stream(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the examples at the positions from `start` to `stop - 1` of the stream.

        Args:
          start: the first position.
          stop: the position after the last.

        Returns:
          int32 [positions], the tasks, and int64 [positions], the indices in their stores.
        """
        positions = np.arange(start, stop, dtype=np.int64)
        cycle, slot = np.divmod(positions, len(self._cycle_task))
        task = self._cycle_task[slot]
        examples = self._examples[task]
        draw = cycle * self.rates[task] + self._cycle_rank[slot]
        epoch, position_in_epoch = np.divmod(draw, examples)
        key = mix(self._task_keys[task] + epoch.astype(np.uint64))
        example = permute(position_in_epoch, examples, key)
        renderings = self._renderings[task]
        return task, example * renderings + epoch % renderings

    def example_lengths(
        self, task: np.ndarray, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tokens that examples take in a row, after truncation.

        Args:
          task: int [examples], numbers of tasks.
          index: int [examples], indices in their stores.

        Returns:
          int32 [examples], input tokens, and int32 [examples], target tokens; EOS included.
        """
        places = self._task_starts[task] + index
        return self._inputs[places], self._targets[places]

    def _block(self, block: int) -> tuple[RowLayout, int]:
        """Returns the rows of a block and the number of examples that were deferred.

        The few examples that find no room in their own block go to the next. Those that find none
        there either are deferred: they come again in their task's next epoch. Block sizes are
        chosen so that this practically never happens.
        """
        packer, task, index, row = self._pack(block)
        deferred = 0
        if block > 0:
            late_task, late_index = self._overflow(block - 1)
            late_row = packer.add_all(*self._sizes(late_task, late_index))
            deferred = int((late_row < 0).sum())
            task = np.append(task, late_task)
            index = np.append(index, late_index)
            row = np.append(row, late_row)

        placed = np.flatnonzero(row >= 0)
        rows = self.block_steps * self.batch_size
        shuffled = permute(row[placed], rows, _key(self.seed, f"rows of block {block}"))
        order = np.argsort(shuffled, kind="stable")
        starts = np.searchsorted(shuffled[order], np.arange(rows + 1))
        layout = RowLayout(starts, task[placed][order], index[placed][order])
        return layout, deferred

    def _overflow(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns (task, index) of a block's own examples that find no room in it."""
        if block not in self._overflows:
            self._pack(block)
        return self._overflows[block]

    def _pack(self, block: int) -> tuple[Packer, np.ndarray, np.ndarray, np.ndarray]:
        """Packs a block's own examples: (packer, task, index, row), the row -1 for no room."""
        first = block * self.block_examples
        task, index = self.stream(first, first + self.block_examples)
        packer = self._packer(self.block_steps * self.batch_size)
        if self.packing:
            row = packer.add_all(*self._sizes(task, index))
        else:
            row = np.arange(len(task))
        self._overflows[block] = task[row < 0], index[row < 0]
        return packer, task, index, row

    def _packer(self, rows: int) -> Packer:
        inputs = self.lengths["inputs"]
        targets = self.lengths["targets"]
        if self.architecture == "encoder_decoder":
            return Packer(inputs, targets, rows)
        return Packer(inputs + targets, 1, rows)

    def _sizes(
        self, task: np.ndarray, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what examples take of the packer's two dimensions."""
        inputs, targets = self.example_lengths(task, index)
        if self.architecture == "encoder_decoder":
            return inputs, targets
        return inputs + targets, np.zeros_like(targets)

    def _size_blocks(self) -> tuple[int, int]:
        """Returns (steps, examples) of a block: its examples fill its rows, and nearly all fit in.

        The rows that some stretches of the stream take are measured by packing them. The margin is
        two standard deviations of a block's size, as blocks differ in the lengths that the
        permutations deal them.
        """
        if not self.packing:
            steps = max(1, BLOCK_EXAMPLES // self.batch_size)
            return steps, steps * self.batch_size

        packers = [self._packer(BLOCK_EXAMPLES) for _ in range(3)]
        for number, packer in enumerate(packers):
            first = number * BLOCK_EXAMPLES
            task, index = self.stream(first, first + BLOCK_EXAMPLES)
            packer.add_all(*self._sizes(task, index))
        needed_rows = np.array([packer.opened for packer in packers]).mean()
        steps = max(1, round(float(needed_rows) / self.batch_size))

        task, index = self.stream(0, BLOCK_EXAMPLES)
        inputs, targets = self._sizes(task, index)
        size = np.maximum(inputs / packers[0].inputs, targets / packers[0].targets)
        deviation = _deviation_within_tasks(size, task)
        margin = 2 * deviation / needed_rows * np.sqrt(len(size))
        examples = BLOCK_EXAMPLES * steps * self.batch_size / needed_rows
        examples_that_fit = examples * (1 - margin * np.sqrt(BLOCK_EXAMPLES / examples))
        return steps, max(1, int(examples_that_fit))


def _hashes(task: TaskLengths) -> list[int]:
    """Returns numbers that are equal for equal lengths. The lengths themselves take more memory."""
    return [
        len(task),
        task.renderings,
        zlib.crc32(task.segments.tobytes()),
        zlib.crc32(task.starts.tobytes()),
    ]


def _deviation_within_tasks(size: np.ndarray, task: np.ndarray) -> float:
    """Returns the standard deviation of sizes around their task's mean.

    How many examples each task gives is fixed by its quota, so that differences between tasks do
    not count.
    """
    counts = np.maximum(np.bincount(task), 1)
    mean = np.bincount(task, size) / counts
    return float(np.sqrt(np.mean((size - mean[task]) ** 2)))


def _interleave(rates: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lays out a cycle of sum(rates) draws.

    The draws of a task are 1/rate apart, from an offset of its own, so that any stretch of the
    cycle holds each task in exact proportion, to within one example at either end.

    Returns:
      int32 [draws], the task of each draw, and int64 [draws], how many of its draws came before.
    """
    task = np.repeat(np.arange(len(rates)), rates)
    rank = np.concatenate([np.arange(rate) for rate in rates])
    offset = np.array([_key(seed, f"offset {t}") / 2**64 for t in range(len(rates))])
    order = np.argsort((rank + offset[task]) / rates[task], kind="stable")
    return task[order].astype(np.int32), rank[order]


def _key(seed: int, name: str) -> int:
    """Returns 64 bits that depend on a seed and a name."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _check_sizes(batch_size: int, lengths: Mapping[str, int]) -> None:
    if batch_size < 1:
        raise InputError(
            f"BATCH_SIZE is {batch_size}; it counts rows and must be at least 1"
        )
    for side in ("inputs", "targets"):
        if lengths.get(side, 0) < 1:
            raise InputError(
                f"LENGTHS gives {side} {lengths.get(side, 0)} tokens; write e.g. "
                "{'inputs': 1024, 'targets': 256}"
            )
    if lengths["targets"] < 2:
        raise InputError(
            "LENGTHS gives targets 1 token, which EOS takes: every target would be truncated away. "
            "Give at least 2"
        )


def _check_task(
    name: str, task: TaskLengths, rate: int, architecture: Architecture
) -> None:
    if len(task) == 0:
        raise InputError(f"task {name!r} has no training examples")
    if task.renderings < 1 or len(task) % task.renderings:
        raise InputError(
            f"task {name!r}: {len(task)} rows are not {task.renderings} renderings of each example"
        )
    if rate < 1:
        raise InputError(
            f"task {name!r} has the mixing rate {rate}; rates are integers from 1"
        )
    if architecture == "encoder_decoder" and np.diff(task.starts).min() < 2:
        raise InputError(
            f"task {name!r} has examples of a single segment, plain text: an encoder-decoder model "
            "would have nothing to encode. Train a decoder on it, or let the task give an input "
            "and a target"
        )
