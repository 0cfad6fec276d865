"""The loader: plan and stores -> this host's rows of a batch, as numpy arrays."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from flan_jax.batch import PAD, batch_spec
from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.token_store import TokenSegment, TokenStore
from flan_jax.errors import RunFailed

T = TypeVar("T")


def fit_segments(
    segments: Sequence[TokenSegment], lengths: Mapping[str, int]
) -> tuple[list[TokenSegment], TokenSegment]:
    """Cuts an example to the tokens that it may take in a row.

    The targets, the last segment, are cut at their end. Of the inputs, the segments before it, the
    oldest are left out until the rest fits. An input segment that is too long by itself is cut at
    its end.

    >>> question, answer = TokenSegment([5, 6, 7], False), TokenSegment([8, 9], True)
    >>> fit_segments([question, answer], {"inputs": 3, "targets": 9})
    ([TokenSegment([5, 6], False)], TokenSegment([8, 9], True))

    Args:
      segments: the segments of the example, without EOS.
      lengths: the most tokens, {"inputs": E, "targets": D}, with EOS after each segment.

    Returns:
      The inputs and the targets, without EOS.
    """
    *older, targets = segments
    if len(targets.tokens) >= lengths["targets"]:
        targets = TokenSegment(
            targets.tokens[: lengths["targets"] - 1], targets.has_loss
        )
    inputs: list[TokenSegment] = []
    room = lengths["inputs"]
    for segment in reversed(older):
        if len(segment.tokens) >= room:
            if inputs:
                break
            segment = TokenSegment(segment.tokens[: room - 1], segment.has_loss)
        room -= len(segment.tokens) + 1
        inputs.insert(0, segment)
    return inputs, targets


class Loader:
    """Makes the batches of a plan: a batch is a pure function of plan, stores and step.

    Attributes:
      plan: which examples each batch holds.
    """

    def __init__(
        self, plan: MixturePlan, stores: Mapping[str, TokenStore], eos_id: int
    ):
        """Makes a loader.

        Args:
          plan: which examples each batch holds.
          stores: the training store of each task.
          eos_id: the token that ends every segment.
        """
        self.plan = plan
        self._eos = eos_id
        self._segments = [stores[name].segments for name in plan.names]

    def batch(self, step: int, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Makes rows of a batch.

        Args:
          step: the number of the batch.
          rows: which rows, those of this host.

        Returns:
          The arrays that flan_jax.batch describes.
        """
        first, last, _ = rows.indices(self.plan.batch_size)
        arrays = empty_batch(self.plan, last - first)
        layout = self.plan.layout(step)
        starts = layout.starts[first : last + 1]
        entries = slice(starts[0], starts[-1])
        task = layout.task[entries]
        index = layout.index[entries]
        input_lengths, target_lengths = self.plan.example_lengths(task, index)
        examples = zip(task.tolist(), index.tolist(), strict=True)

        starts = starts - starts[0]
        if self.plan.architecture == "encoder_decoder":
            encoder_places = _number_examples(arrays, "encoder", starts, input_lengths)
            decoder_places = _number_examples(arrays, "decoder", starts, target_lengths)
            self._put_in_both(arrays, examples, encoder_places, decoder_places)
        else:
            places = _number_examples(
                arrays, "decoder", starts, input_lengths + target_lengths
            )
            self._put_in_decoder(arrays, examples, places)
        _shift_right(arrays)
        return arrays

    def _put_in_both(
        self,
        arrays: dict[str, np.ndarray],
        examples: Iterable[tuple[int, int]],
        encoder_places: list[int],
        decoder_places: list[int],
    ) -> None:
        """Writes inputs into the encoder's rows, targets and loss weights into the decoder's."""
        encoder_tokens = arrays["encoder_input_tokens"].reshape(-1)
        decoder_tokens = arrays["decoder_target_tokens"].reshape(-1)
        places = zip(encoder_places, decoder_places, strict=True)
        for (task, index), (encoder_place, decoder_place) in zip(
            examples, places, strict=True
        ):
            segments = self._segments[task].example(index)
            inputs, targets = fit_segments(segments, self.plan.lengths)
            for segment in inputs:
                encoder_place = self._put(encoder_tokens, encoder_place, segment)
            self._put(decoder_tokens, decoder_place, targets)
        arrays["decoder_loss_weights"][:] = arrays["decoder_segment_ids"] > 0

    def _put_in_decoder(
        self,
        arrays: dict[str, np.ndarray],
        examples: Iterable[tuple[int, int]],
        places: list[int],
    ) -> None:
        """Writes all segments, loss weights and the prefix into the decoder's rows."""
        tokens = arrays["decoder_target_tokens"].reshape(-1)
        loss_weights = arrays["decoder_loss_weights"].reshape(-1)
        prefix = arrays["decoder_causal_attention"].reshape(-1)
        for (task, index), place in zip(examples, places, strict=True):
            segments = self._segments[task].example(index)
            inputs, targets = fit_segments(segments, self.plan.lengths)
            prefix_start, in_prefix = place, True
            for segment in (*inputs, targets):
                stop = self._put(tokens, place, segment)
                if segment.has_loss:
                    loss_weights[place:stop] = 1.0
                    if in_prefix:
                        # Input tokens are shifted by one: the prefix is read one position later.
                        prefix[prefix_start : place + 1] = 1
                    in_prefix = False
                place = stop

    def _put(self, tokens: np.ndarray, place: int, segment: TokenSegment) -> int:
        """Writes a segment and its EOS at a place; returns the place after them."""
        stop = place + len(segment.tokens)
        tokens[place:stop] = segment.tokens
        tokens[stop] = self._eos
        return stop + 1


def _number_examples(
    arrays: dict[str, np.ndarray], side: str, starts: np.ndarray, lengths: np.ndarray
) -> list[int]:
    """Writes the segment ids and positions of one side.

    Args:
      arrays: the batch.
      side: "encoder" or "decoder".
      starts: int [rows + 1]; row r has the examples `starts[r]` to `starts[r + 1] - 1`.
      lengths: int [examples], the tokens of each example on this side.

    Returns:
      Where each example begins in the flattened arrays.
    """
    segment_ids = arrays[f"{side}_segment_ids"]
    rows, width = segment_ids.shape
    row = np.repeat(np.arange(rows), np.diff(starts))
    number_in_row = np.arange(1, len(lengths) + 1) - starts[row]
    before = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=before[1:])

    # The examples of a row are at its beginning, one after the other.
    tokens_in_row = np.diff(before[starts])
    is_filled = np.arange(width) < tokens_in_row[:, np.newaxis]
    positions = np.arange(before[-1], dtype=np.int32) - np.repeat(before[:-1], lengths)
    segment_ids[is_filled] = np.repeat(number_in_row.astype(np.int32), lengths)
    arrays[f"{side}_positions"][is_filled] = positions
    begins = row * width + before[:-1] - before[starts[row]]
    return begins.tolist()


def _shift_right(arrays: dict[str, np.ndarray]) -> None:
    """Writes the decoder's input tokens: within each example the target tokens, one place later."""
    input_tokens = arrays["decoder_input_tokens"]
    input_tokens[:, 1:] = arrays["decoder_target_tokens"][:, :-1]
    # Position 0 is the beginning of an example, or padding.
    input_tokens[arrays["decoder_positions"] == 0] = PAD


def empty_batch(plan: MixturePlan, rows: int) -> dict[str, np.ndarray]:
    """Returns a batch of nothing but padding.

    Args:
      plan: the plan whose architecture and lengths the batch has.
      rows: the number of rows.
    """
    spec = batch_spec(plan.architecture, rows, plan.lengths)
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in spec.items()}


class DataStalled(RunFailed):
    """No batch has come for longer than the time limit."""


def prefetch(
    make: Callable[[int], T],
    start: int,
    stop: int,
    *,
    depth: int = 2,
    patience: float | None = None,
) -> Iterator[tuple[int, T]]:
    """Makes the batches of consecutive steps ahead, in a thread.

    Closing the iterator ends the thread. What `make` raises is raised here.

    Args:
      make: makes the batch of a step.
      start: the first step.
      stop: the step after the last.
      depth: how many batches are made ahead.
      patience: the seconds that a batch may take; None for no limit.

    Yields:
      (step, batch), in order.

    Raises:
      DataStalled: a batch takes longer than `patience`.
    """
    batches: queue.Queue = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def put(batch: tuple[int, T | None, BaseException | None]) -> None:
        while not closed.is_set():
            try:
                batches.put(batch, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in range(start, stop):
                put((step, make(step), None))
                if closed.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - the reader raises it, whatever it is
            put((-1, None, error))
        put((-1, None, None))

    threading.Thread(target=work, name="prefetch", daemon=True).start()
    next_step = start
    try:
        while True:
            try:
                step, batch, error = batches.get(timeout=patience)
            except queue.Empty:
                raise DataStalled(
                    f"batch {next_step} has not come for {patience:g} s: the disk with the token "
                    "stores does not respond. The same command continues from the last "
                    "checkpoint; TrainConfig.stall_seconds sets this limit"
                ) from None
            if error is not None:
                raise error
            if step < 0:
                return
            next_step = step + 1
            yield step, batch
    finally:
        closed.set()
