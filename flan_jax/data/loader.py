"""The loader: plan and stores -> this host's rows of a batch, as numpy arrays."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from flan_jax.batch import PAD, batch_spec
from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.row_format import RowTokens
from flan_jax.data.token_store import TokenSegment, TokenStore, cut
from flan_jax.errors import RunFailed

T = TypeVar("T")


def fit_segments(
    segments: Sequence[TokenSegment], lengths: Mapping[str, int], ends: RowTokens
) -> tuple[list[TokenSegment], TokenSegment]:
    """Cuts an example to the tokens that it may take in a row.

    The targets, the last segment, are cut before the tokens that end them. Of the inputs, the
    segments before it, the oldest are left out until the rest fits. An input segment that is too
    long by itself is cut as the targets are.

    >>> question, answer = TokenSegment([5, 6, 7, 1], False), TokenSegment([8, 9, 1], True)
    >>> fit_segments([question, answer], {"inputs": 3, "targets": 9}, ends)
    ([TokenSegment([5, 6, 1], False)], TokenSegment([8, 9, 1], True))

    Args:
      segments: the segments of the example.
      lengths: the most tokens, {"inputs": E, "targets": D}.
      ends: has the tokens that end a segment.

    Returns:
      The inputs and the targets.
    """
    *older, targets = segments
    targets = _cut(targets, lengths["targets"], ends)
    inputs: list[TokenSegment] = []
    room = lengths["inputs"]
    for segment in reversed(older):
        if len(segment.tokens) > room:
            if inputs:
                break
            segment = _cut(segment, room, ends)
        room -= len(segment.tokens)
        inputs.insert(0, segment)
    return inputs, targets


def _cut(segment: TokenSegment, limit: int, ends: RowTokens) -> TokenSegment:
    """Cuts a segment to at most `limit` tokens; those that end it stay."""
    if len(segment.tokens) <= limit:
        return segment
    tail = ends.answer_tail if segment.has_loss else ends.prompt_tail
    return TokenSegment(cut(segment.tokens, limit, tail), segment.has_loss)


class Loader:
    """Makes the batches of a plan: a batch is a pure function of plan, stores and step.

    Attributes:
      plan: which examples each batch holds.
    """

    def __init__(
        self, plan: MixturePlan, stores: Mapping[str, TokenStore], ends: RowTokens
    ):
        """Makes a loader.

        Args:
          plan: which examples each batch holds.
          stores: the training store of each task.
          ends: the start token and the tokens that end a segment.
        """
        self.plan = plan
        self._ends = ends
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
        first_entry = starts[0]
        entries = slice(first_entry, starts[-1])
        task = layout.task[entries]
        index = layout.index[entries]
        input_lengths, target_lengths = self.plan.example_lengths(task, index)
        examples = zip(task.tolist(), index.tolist(), strict=True)

        starts = starts - first_entry
        if self.plan.architecture == "encoder_decoder":
            encoder_places = _number_examples(arrays, "encoder", starts, input_lengths)
            decoder_places = _number_examples(arrays, "decoder", starts, target_lengths)
            self._put_in_both(arrays, examples, encoder_places, decoder_places)
            first_tokens = np.int32(PAD)
        else:
            lengths = self.plan.decoder_lengths(task, index)
            places = _number_examples(arrays, "decoder", starts, lengths)
            first_tokens = self._put_in_decoder(arrays, examples, places)
        _shift_right(arrays, first_tokens)
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
            inputs, targets = fit_segments(segments, self.plan.lengths, self._ends)
            for segment in inputs:
                encoder_place = _put(encoder_tokens, encoder_place, segment.tokens)
            _put(decoder_tokens, decoder_place, targets.tokens)
        arrays["decoder_loss_weights"][:] = arrays["decoder_segment_ids"] > 0

    def _put_in_decoder(
        self,
        arrays: dict[str, np.ndarray],
        examples: Iterable[tuple[int, int]],
        places: list[int],
    ) -> np.ndarray:
        """Writes all segments, loss weights and the prefix into the decoder's rows.

        Returns:
          int32 [examples], the token that is read first in each example.
        """
        tokens = arrays["decoder_target_tokens"].reshape(-1)
        loss_weights = arrays["decoder_loss_weights"].reshape(-1)
        prefix = arrays["decoder_causal_attention"].reshape(-1)
        first_tokens = []
        for (task, index), place in zip(examples, places, strict=True):
            segments = self._segments[task].example(index)
            inputs, targets = fit_segments(segments, self.plan.lengths, self._ends)
            first_token = self._ends.start
            prefix_start, in_prefix = place, True
            for segment in (*inputs, targets):
                segment_tokens = segment.tokens
                if first_token is None and len(segment_tokens):
                    # Nothing stands before the first token, so that it is no target.
                    first_token = segment_tokens[0]
                    segment_tokens = segment_tokens[1:]
                stop = _put(tokens, place, segment_tokens)
                if segment.has_loss:
                    loss_weights[place:stop] = 1.0
                    if in_prefix:
                        # Input tokens are shifted by one: the prefix is read one position later.
                        prefix[prefix_start : place + 1] = 1
                    in_prefix = False
                place = stop
            first_tokens.append(first_token)
        return np.array(first_tokens, np.int32)


def _put(row: np.ndarray, place: int, tokens: np.ndarray) -> int:
    """Writes tokens at a place; returns the place after them."""
    stop = place + len(tokens)
    row[place:stop] = tokens
    return stop


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
    positions = arrays[f"{side}_positions"]
    rows, width = segment_ids.shape
    count = len(lengths)
    examples_in_row = np.diff(starts)
    row = np.repeat(np.arange(rows), examples_in_row)
    first_in_row = starts[row]
    number_in_row = np.arange(1, count + 1) - first_in_row

    # Tokens before each example, and all tokens.
    before = np.zeros(count + 1, np.int32)
    np.cumsum(lengths, out=before[1:])
    example_starts = before[:-1]
    total = before[-1]

    # The examples of a row are at its beginning, one after the other.
    tokens_in_row = np.diff(before[starts])
    is_filled = np.arange(width) < tokens_in_row[:, np.newaxis]
    ids = number_in_row.astype(np.int32)
    segment_ids[is_filled] = np.repeat(ids, lengths)
    tokens = np.arange(total, dtype=np.int32)
    positions[is_filled] = tokens - np.repeat(example_starts, lengths)

    place_in_row = example_starts - before[first_in_row]
    places = row * width + place_in_row
    return places.tolist()


def _shift_right(
    arrays: dict[str, np.ndarray], first_tokens: np.ndarray | np.int32
) -> None:
    """Writes the decoder's input tokens: within each example the target tokens, one place later.

    Args:
      arrays: the batch.
      first_tokens: int32 [examples], the token that is read first in each example; or one for all.
    """
    input_tokens = arrays["decoder_input_tokens"]
    input_tokens[:, 1:] = arrays["decoder_target_tokens"][:, :-1]
    # Position 0 is the beginning of an example, or padding.
    is_first = arrays["decoder_positions"] == 0
    input_tokens[is_first] = PAD
    input_tokens[is_first & (arrays["decoder_segment_ids"] > 0)] = first_tokens


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
    steps = range(start, stop)
    threading.Thread(
        target=_make_batches,
        args=(make, steps, batches, closed),
        name="prefetch",
        daemon=True,
    ).start()
    try:
        for step in steps:
            try:
                batch, error = batches.get(timeout=patience)
            except queue.Empty:
                raise DataStalled(
                    f"batch {step} has not come for {patience:g} s: the disk with the token "
                    "stores does not respond. The same command continues from the last "
                    "checkpoint; TrainConfig.stall_seconds sets this limit"
                ) from None
            if error is not None:
                raise error
            yield step, batch
    finally:
        closed.set()


def _make_batches(
    make: Callable[[int], T],
    steps: Iterable[int],
    batches: queue.Queue,
    closed: threading.Event,
) -> None:
    """Makes the batches of steps until all are made, one fails, or the reader closes.

    Args:
      make: makes the batch of a step.
      steps: the steps, in order.
      batches: receives (batch, None) for each step, or (None, error) for the one that fails.
      closed: is set when the reader wants no more batches.
    """
    try:
        for step in steps:
            _put_entry((make(step), None), batches, closed)
            if closed.is_set():
                return
    except BaseException as error:  # noqa: BLE001 - the reader raises it, whatever it is
        _put_entry((None, error), batches, closed)


def _put_entry(
    entry: tuple[T | None, BaseException | None],
    batches: queue.Queue,
    closed: threading.Event,
) -> None:
    """Waits for room in a queue and puts an entry there, unless the reader closes."""
    while not closed.is_set():
        try:
            batches.put(entry, timeout=0.1)
            return
        except queue.Full:
            continue
