"""The loader: plan and stores -> this host's rows of batch `step`, as numpy arrays under seqio's names."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from flan_jax.batch import batch_spec
from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.token_store import TokenStore
from flan_jax.errors import RunFailed

T = TypeVar("T")


class Tokens(NamedTuple):
    """The token columns of one task: `values[offsets[i]:offsets[i + 1]]` is example i, without EOS and untruncated."""

    input_values: np.ndarray
    input_offsets: np.ndarray
    target_values: np.ndarray
    target_offsets: np.ndarray


class Loader:
    """Batches of a plan. `batch(step)` is a pure function of the plan and the stores; `eos_id` ends inputs and targets."""

    def __init__(self, plan: MixturePlan, stores: Mapping[str, TokenStore], eos_id: int):
        self.plan, self._eos = plan, eos_id
        self._tokens = [Tokens(*stores[name].inputs, *stores[name].targets) for name in plan.names]
        self._longest = np.arange(
            max(plan.lengths["inputs"] + plan.lengths["targets"], 1), dtype=np.int32
        )

    def batch(self, step: int, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """The given rows of batch `step`; shapes and dtypes as in flan_jax.batch."""
        layout = self.plan.layout(step)
        first, last, _ = rows.indices(self.plan.batch_size)
        arrays = empty_batch(self.plan, last - first)
        put = self._put_pair if self.plan.architecture == "encoder_decoder" else self._put_joined
        task, index, starts = layout.task.tolist(), layout.index.tolist(), layout.starts.tolist()
        input_lengths, target_lengths = (
            x.tolist() for x in self.plan.example_lengths(layout.task, layout.index)
        )
        for row in range(first, last):
            encoder = decoder = 0
            for entry in range(starts[row], starts[row + 1]):
                segment = entry - starts[row] + 1
                inputs, targets = self._example(
                    task[entry], index[entry], input_lengths[entry], target_lengths[entry]
                )
                encoder, decoder = put(
                    arrays, row - first, segment, encoder, decoder, inputs, targets
                )
        return arrays

    def _example(
        self, task: int, index: int, inputs: int, targets: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The two token arrays, cut to one less than their lengths in the row: EOS comes behind them."""
        tokens = self._tokens[task]
        i, t = tokens.input_offsets[index], tokens.target_offsets[index]
        return tokens.input_values[i : i + inputs - 1], tokens.target_values[t : t + targets - 1]

    def _put_pair(self, arrays, row, segment, encoder, decoder, inputs, targets):
        stop = encoder + len(inputs) + 1
        arrays["encoder_input_tokens"][row, encoder : stop - 1] = inputs
        arrays["encoder_input_tokens"][row, stop - 1] = self._eos
        arrays["encoder_segment_ids"][row, encoder:stop] = segment
        arrays["encoder_positions"][row, encoder:stop] = self._longest[: stop - encoder]
        end = self._put_decoder(arrays, row, segment, decoder, targets)
        arrays["decoder_loss_weights"][row, decoder:end] = 1.0
        return stop, end

    def _put_joined(self, arrays, row, segment, encoder, decoder, inputs, targets):
        """Prefix-LM: inputs, EOS, targets, EOS in one sequence; the loss is on the targets and their EOS."""
        prefix = decoder + len(inputs) + 1
        end = self._put_decoder(
            arrays, row, segment, decoder, np.concatenate([inputs, [self._eos], targets])
        )
        # The input tokens are the targets shifted right by one, so the prefix reaches one position further in.
        arrays["decoder_causal_attention"][row, decoder : prefix + 1] = 1
        arrays["decoder_loss_weights"][row, prefix:end] = 1.0
        return encoder, end

    def _put_decoder(self, arrays, row, segment, start, tokens) -> int:
        stop = start + len(tokens) + 1
        arrays["decoder_target_tokens"][row, start : stop - 1] = tokens
        arrays["decoder_target_tokens"][row, stop - 1] = self._eos
        arrays["decoder_input_tokens"][row, start + 1 : stop] = tokens
        arrays["decoder_segment_ids"][row, start:stop] = segment
        arrays["decoder_positions"][row, start:stop] = self._longest[: stop - start]
        return stop


def empty_batch(plan: MixturePlan, rows: int) -> dict[str, np.ndarray]:
    """A batch of padding alone."""
    spec = batch_spec(plan.architecture, rows, plan.lengths)
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in spec.items()}


class DataStalled(RunFailed):
    """No batch has come for longer than one may take."""


def prefetch(
    make: Callable[[int], T], start: int, stop: int, depth: int = 2, patience: float | None = None
) -> Iterator[tuple[int, T]]:
    """(step, make(step)) for start <= step < stop, made up to `depth` ahead in a thread.

    An exception in `make` is raised here, and DataStalled when it takes over `patience` seconds. Closing the iterator ends
    the thread.
    """
    ready: queue.Queue = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def offer(item) -> None:
        while not closed.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in range(start, stop):
                offer((step, make(step), None))
                if closed.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the reader, whichever it is
            offer((-1, None, error))
        offer((-1, None, None))

    threading.Thread(target=work, name="prefetch", daemon=True).start()
    wanted = start
    try:
        while True:
            try:
                step, item, error = ready.get(timeout=patience)
            except queue.Empty:
                raise DataStalled(
                    f"batch {wanted} has not come for {patience:g} s: the disk of the token stores does not answer. The same "
                    "command goes on from the last checkpoint; TrainConfig.stall_seconds is the time limit"
                ) from None
            if error is not None:
                raise error
            if step < 0:
                return
            wanted = step + 1
            yield step, item
    finally:
        closed.set()
