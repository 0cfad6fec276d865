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
      segments: int [segments], the length of each segment of each example, with its end and
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

        The targets are the last segment, the inputs those before it.

        Returns:
          int64 [examples] and int64 [examples].
        """
        first = self.starts[:-1]
        last = self.starts[1:] - 1
        before = self._tokens_before_segments()
        inputs = before[last] - before[first]
        targets = self.segments[last].astype(np.int64)
        return inputs, targets

    def truncated(self, lengths: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lengths that the examples have in a row.

        The vectorized form of `loader.fit_segments`.

        Args:
          lengths: the most tokens of an example, {"inputs": E, "targets": D}.

        Returns:
          int32 [examples], at most E, and int32 [examples], at most D.
        """
        limit = lengths["inputs"]
        target_limit = lengths["targets"]
        inputs, targets = self.untruncated()

        is_too_long = inputs > limit
        has_older_segments = np.diff(self.starts) > 2
        too_long = np.flatnonzero(is_too_long & has_older_segments)
        if len(too_long):
            inputs[too_long] = self._newest_inputs(too_long, limit)

        inputs = np.minimum(inputs, limit)
        targets = np.minimum(targets, target_limit)
        return inputs.astype(np.int32), targets.astype(np.int32)

    def _newest_inputs(self, examples: np.ndarray, limit: int) -> np.ndarray:
        """Returns the tokens of the newest input segments that fit into a limit, at least one."""
        last = self.starts[examples + 1] - 1
        before = self._tokens_before_segments()
        before_last = before[last]
        first_that_fits = np.searchsorted(before, before_last - limit)
        first = np.minimum(first_that_fits, last - 1)
        return before_last - before[first]

    def _tokens_before_segments(self) -> np.ndarray:
        """int64 [segments + 1]: tokens before each segment, and all tokens."""
        count = len(self.segments)
        before = np.zeros(count + 1, np.int64)
        np.cumsum(self.segments, out=before[1:])
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
      lengths: tokens of a row, {"inputs": E, "targets": D}.
      seed: what the order of examples is drawn from.
      packing: whether a row holds several examples.
      has_start: whether a decoder reads a start token before each example. Without it an example
        takes one position less, as its first token is only read.
      block_steps: batches of a block.
      block_examples: examples of a block.
      block: (number of a block) -> (its rows, how many examples were deferred).
    """

    def __init__(  # noqa: PLR0913 (the settings of DataConfig that shape a plan)
        self,
        tasks: Mapping[str, TaskLengths],
        rates: Mapping[str, int],
        *,
        architecture: Architecture,
        batch_size: int,
        lengths: Mapping[str, int],
        seed: int,
        packing: bool = True,
        has_start: bool = True,
    ):
        """Makes the plan.

        Args:
          tasks: the lengths of each task's examples.
          rates: the mixing rate of each task.
          architecture: the kind of model.
          batch_size: rows of a batch.
          lengths: tokens of a row, {"inputs": E, "targets": D}.
          seed: what the order of examples is drawn from.
          packing: whether a row holds several examples.
          has_start: whether a decoder reads a start token before each example.

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
        task_rates = [rates[name] for name in self.names]
        self.rates = np.array(task_rates, np.int64)
        self.architecture: Architecture = architecture
        self.batch_size = batch_size
        self.lengths = dict(lengths)
        self.seed = seed
        self.packing = packing
        self.has_start = has_start

        task_lengths = list(tasks.values())
        self._task_hashes = [_hashes(task) for task in task_lengths]
        renderings = [task.renderings for task in task_lengths]
        self._renderings = np.array(renderings, np.int64)
        stored = np.array([len(task) for task in task_lengths], np.int64)
        # Examples of the source, as against stored ones, which are renderings of them.
        self._examples = stored // self._renderings

        # The lengths of the stored examples of all tasks, one task after the other.
        self._task_starts = np.cumsum(stored) - stored
        truncated = [task.truncated(lengths) for task in task_lengths]
        self._inputs = np.concatenate([inputs for inputs, _ in truncated])
        self._targets = np.concatenate([targets for _, targets in truncated])

        self._cycle_task, self._cycle_rank = _interleave(self.rates, seed)
        task_keys = [_key(seed, name) for name in self.names]
        self._task_keys = np.array(task_keys, np.uint64)
        self.block_steps, self.block_examples = self._size_blocks()
        self._overflows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        # As many as the prefetch thread and a reader of the layout can be in at once.
        self.block = functools.lru_cache(maxsize=4)(self._block)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash that is equal for plans whose batches hold the same examples in the same rows."""
        rates = self.rates.tolist()
        rates_and_hashes = zip(rates, self._task_hashes, strict=True)
        tasks = dict(zip(self.names, rates_and_hashes, strict=True))
        settings = [
            VERSION,
            self.architecture,
            self.batch_size,
            self.lengths,
            self.seed,
            self.packing,
            tasks,
        ]
        if not self.has_start:
            settings.append("no start")
        text = json.dumps(settings)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def rows(self, step: int, rows: slice = slice(None)) -> list[list[ExampleRef]]:
        """Returns the examples of each row of a batch, in their order in the row.

        Args:
          step: the number of the batch.
          rows: which of its rows.
        """
        layout = self.layout(step)
        tasks = layout.task.tolist()
        indices = layout.index.tolist()
        refs = [
            ExampleRef(self.names[task], index)
            for task, index in zip(tasks, indices, strict=True)
        ]
        bounds = itertools.pairwise(layout.starts.tolist())
        batch = [refs[start:stop] for start, stop in bounds]
        return batch[rows]

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
        end_row = first_row + self.batch_size
        starts = layout.starts[first_row : end_row + 1]
        first_entry = starts[0]
        entries = slice(first_entry, starts[-1])
        return RowLayout(
            starts=starts - first_entry,
            task=layout.task[entries],
            index=layout.index[entries],
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
        draws_of_a_cycle = len(self._cycle_task)
        cycle, slot = np.divmod(positions, draws_of_a_cycle)
        task = self._cycle_task[slot]
        examples = self._examples[task]
        draws_before_cycle = cycle * self.rates[task]
        draw = draws_before_cycle + self._cycle_rank[slot]
        epoch, position_in_epoch = np.divmod(draw, examples)

        task_key = self._task_keys[task]
        key = mix(task_key + epoch.astype(np.uint64))
        example = permute(position_in_epoch, examples, key)
        renderings = self._renderings[task]
        rendering = epoch % renderings
        return task, example * renderings + rendering

    def example_lengths(
        self, task: np.ndarray, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tokens that examples take in a row, after truncation.

        Args:
          task: int [examples], numbers of tasks.
          index: int [examples], indices in their stores.

        Returns:
          int32 [examples], input tokens, and int32 [examples], target tokens.
        """
        positions = self._task_starts[task] + index
        return self._inputs[positions], self._targets[positions]

    def decoder_lengths(self, task: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Returns the positions that examples take in the row of a decoder.

        Args:
          task: int [examples], numbers of tasks.
          index: int [examples], indices in their stores.

        Returns:
          int32 [examples].
        """
        inputs, targets = self.example_lengths(task, index)
        if self.has_start:
            return inputs + targets
        return inputs + targets - 1

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
            inputs, targets = self._sizes(late_task, late_index)
            late_row = packer.add_all(inputs, targets)
            deferred = int(np.sum(late_row < 0))
            task = np.append(task, late_task)
            index = np.append(index, late_index)
            row = np.append(row, late_row)

        placed = np.flatnonzero(row >= 0)
        rows = self.block_steps * self.batch_size
        key = _key(self.seed, f"rows of block {block}")
        shuffled_row = permute(row[placed], rows, key)
        order = np.argsort(shuffled_row, kind="stable")
        sorted_row = shuffled_row[order]
        entries = placed[order]
        layout = RowLayout(
            starts=np.searchsorted(sorted_row, np.arange(rows + 1)),
            task=task[entries],
            index=index[entries],
        )
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
        rows = self.block_steps * self.batch_size
        packer = self._packer(rows)
        if self.packing:
            inputs, targets = self._sizes(task, index)
            row = packer.add_all(inputs, targets)
        else:
            row = np.arange(len(task))
        has_no_room = row < 0
        self._overflows[block] = task[has_no_room], index[has_no_room]
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
        if self.architecture == "encoder_decoder":
            return self.example_lengths(task, index)
        positions = self.decoder_lengths(task, index)
        return positions, np.zeros_like(positions)

    def _size_blocks(self) -> tuple[int, int]:
        """Returns (steps, examples) of a block: its examples fill its rows, and nearly all fit in.

        The rows that some stretches of the stream take are measured by packing them. The margin is
        two standard deviations of a block's size, as blocks differ in the lengths that the
        permutations deal them.
        """
        if not self.packing:
            steps = max(1, BLOCK_EXAMPLES // self.batch_size)
            return steps, steps * self.batch_size

        opened = []
        for first in (0, BLOCK_EXAMPLES, 2 * BLOCK_EXAMPLES):
            task, index = self.stream(first, first + BLOCK_EXAMPLES)
            inputs, targets = self._sizes(task, index)
            packer = self._packer(BLOCK_EXAMPLES)
            packer.add_all(inputs, targets)
            opened.append(packer.opened)
        needed_rows = np.mean(opened)
        steps = max(1, round(float(needed_rows) / self.batch_size))

        task, index = self.stream(0, BLOCK_EXAMPLES)
        inputs, targets = self._sizes(task, index)
        packer = self._packer(BLOCK_EXAMPLES)
        share_of_inputs = inputs / packer.inputs
        share_of_targets = targets / packer.targets
        size = np.maximum(share_of_inputs, share_of_targets)
        deviation = _deviation_within_tasks(size, task)
        # As a share of a block of BLOCK_EXAMPLES; it shrinks with the root of a block's size.
        margin = 2 * deviation / needed_rows * np.sqrt(len(size))

        examples = BLOCK_EXAMPLES * steps * self.batch_size / needed_rows
        margin = margin * np.sqrt(BLOCK_EXAMPLES / examples)
        examples_that_fit = examples * (1 - margin)
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
    deviations = size - mean[task]
    variance = np.mean(deviations**2)
    return float(np.sqrt(variance))


def _interleave(rates: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lays out a cycle of sum(rates) draws.

    The draws of a task are 1/rate apart, from an offset of its own, so that any stretch of the
    cycle holds each task in exact proportion, to within one example at either end.

    Returns:
      int32 [draws], the task of each draw, and int64 [draws], how many of its draws came before.
    """
    numbers = range(len(rates))
    task = np.repeat(numbers, rates)
    rank = np.concatenate([np.arange(rate) for rate in rates])
    offsets = [_key(seed, f"offset {number}") / 2**64 for number in numbers]
    position = (rank + np.array(offsets)[task]) / rates[task]
    order = np.argsort(position, kind="stable")
    return task[order].astype(np.int32), rank[order]


def _key(seed: int, name: str) -> int:
    """Returns 64 bits that depend on a seed and a name."""
    text = f"{seed} {name}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _check_sizes(batch_size: int, lengths: Mapping[str, int]) -> None:
    if batch_size < 1:
        raise InputError(
            f"BATCH_SIZE is {batch_size}; it counts rows and must be at least 1"
        )
    for side in ("inputs", "targets"):
        length = lengths.get(side, 0)
        if length < 1:
            raise InputError(
                f"LENGTHS gives {side} {length} tokens; write e.g. "
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
    count = len(task)
    if count == 0:
        raise InputError(f"task {name!r} has no training examples")
    if task.renderings < 1 or count % task.renderings:
        raise InputError(
            f"task {name!r}: {count} rows are not {task.renderings} renderings of each example"
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
