"""Metrics of the training steps: metrics.jsonl, TensorBoard, rates and where the time went."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import jax
import numpy as np
import optax
import tensorboardX

from flan_jax.errors import RunFailed, plural
from flan_jax.hardware import CHIPS, Number, chip_of
from flan_jax.json_files import read_jsonl
from flan_jax.progress import show_means
from flan_jax.run_dir import Run

Metrics = Mapping[str, jax.Array]
"""Metrics of one step, scalars on the device: see step.train_step."""
Phase = Literal["input", "dispatch", "device", "checkpoint", "evaluation", "compile"]
"""What the loop does: wait for a batch, start a step, wait for the device, save, evaluate, compile
the first step."""
PHASES: tuple[Phase, ...] = get_args(Phase)
EXCLUDED_FROM_RATES: tuple[Phase, ...] = ("compile", "evaluation")


class NotFinite(RunFailed):
    """The loss is NaN or infinite."""


class Log:
    """Metrics of the steps between two log lines, fetched from the device once a line.

    Args:
      run: writes the lines of metrics.jsonl.
      rate: maps a step to its learning rate.
      step: number of finished steps.
      row_tokens: tokens of a batch, with padding.
      seconds_at_peak: maps the supervised tokens of a step to its time at the devices' peak; None
        if that is unknown.

    Attributes:
      last_eval_step: the last step that was evaluated in between; 0 if none was.
      means: the scores of that evaluation, as text.
    """

    def __init__(
        self,
        run: Run,
        rate: optax.Schedule,
        step: int,
        *,
        row_tokens: int,
        seconds_at_peak: Callable[[int], float | None],
    ):
        self._run = run
        self._rate = rate
        self._row_tokens = row_tokens
        self._seconds_at_peak = seconds_at_peak
        self._pending: list[Metrics] = []
        self._phases: dict[Phase, float] = {}

        earlier = list(read_jsonl(run.path / "metrics.jsonl"))
        earlier_seconds = [row["seconds"] for row in earlier if "seconds" in row]
        self._since = time.monotonic()
        self._start = self._since - (earlier_seconds[-1] if earlier_seconds else 0.0)

        evaluations = [row for row in earlier if "eval" in row]
        last_evaluation = evaluations[-1] if evaluations else {"step": 0, "eval": {}}
        self.last_eval_step: int = last_evaluation["step"]
        self.means = show_means(last_evaluation["eval"])

        # Points after `step` are those of a process that died; the run draws them again.
        self._board = tensorboardX.SummaryWriter(
            str(run.path / "tensorboard"),
            purge_step=step + 1,
            write_to_disk=run.is_writer,
        )

    @contextlib.contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Adds the seconds inside to the next line's. Compiling and evaluating count in no rate.

        Args:
          name: what the loop does inside.
        """
        start = time.monotonic()
        try:
            yield
        finally:
            self._phases[name] = self._phases.get(name, 0.0) + time.monotonic() - start

    def add(self, metrics: Metrics) -> None:
        """Adds the metrics of a step, which stay on the device until the next line."""
        self._pending.append(metrics)

    def wait_for_device(self) -> None:
        """Waits until the steps whose metrics were added are done."""
        jax.block_until_ready(self._pending)

    def write(self, step: int) -> dict[str, int | float]:
        """Writes the line of metrics.jsonl for the steps since the last line, and returns it.

        Args:
          step: number of finished steps.

        Raises:
          NotFinite: the loss is not finite, or all the steps were skipped.
        """
        with self.phase("device"):
            fetched = jax.device_get(self._pending)
        total = {}
        for name in fetched[0]:
            values = [metrics[name] for metrics in fetched]
            total[name] = float(np.sum(values, dtype=np.float64))
        skipped = int(total.get("skipped", 0))
        if skipped == len(fetched):
            raise NotFinite(
                f"the loss was not finite in {plural(skipped, 'step')} up to step {step}; "
                "all were skipped. Lower LEARNING_RATE, or lengthen the warm-up"
            )
        weight = total["weight_sum"]
        row = {
            "step": step,
            "loss": (total["loss_sum"] - total["z_loss_sum"]) / weight,
            "z_loss": total["z_loss_sum"] / weight,
            "accuracy": 100 * total["correct_sum"] / weight,
            "learning_rate": float(np.asarray(self._rate(step - 1))),
            "grad_norm": total["grad_norm"] / len(fetched),
            **self._rates(total),
        }
        if skipped:
            row["skipped"] = skipped
        check_finite(step, row["loss"])

        self._run.log(row)
        for name, value in row.items():
            self._board.add_scalar(f"train/{name}", value, step)
        self._board.flush()
        self._pending = []
        return row

    def _rates(self, total: Mapping[str, float]) -> dict[str, float]:
        """Returns rates since the last line and the seconds of each phase; starts the next line.

        mfu: the model's FLOPs / seconds / peak FLOP/s of the devices, in percent, "model FLOPs
        utilization" (Chowdhery et al. 2022, PaLM, appendix B). packed: real tokens / tokens of the
        rows, in percent.
        """
        now = time.monotonic()
        excluded = sum(self._phases.get(name, 0.0) for name in EXCLUDED_FROM_RATES)
        seconds = now - self._since - excluded
        steps = len(self._pending)
        row = {
            "tokens_per_second": total["tokens"] / seconds,
            "supervised_tokens_per_second": total["weight_sum"] / seconds,
            "packed": 100 * total["tokens"] / (self._row_tokens * steps),
        }
        supervised = round(total["weight_sum"] / steps)
        step_at_peak = self._seconds_at_peak(supervised)
        if step_at_peak is not None:
            row["mfu"] = 100 * step_at_peak * steps / seconds
        for name in PHASES:
            if name in self._phases:
                row[f"{name}_seconds"] = self._phases[name]
        row["seconds"] = now - self._start

        self._since = now
        self._phases = {}
        return row

    def write_means(self, step: int, means: Mapping[str, float]) -> None:
        """Writes the line of an evaluation between steps.

        Args:
          step: number of finished steps.
          means: mean scores by cluster.
        """
        self._run.log({"step": step, "eval": dict(means)})
        for cluster, mean in means.items():
            self._board.add_scalar(f"eval/{cluster}", mean, step)
        self.last_eval_step = step
        self.means = show_means(means)


def seconds_at_peak(flops: Number, device_kinds: Iterable[str]) -> float | None:
    """Returns the time of some FLOPs on all devices at their peak rates, which are bf16's.

    Args:
      flops: work of all devices together.
      device_kinds: the kind of each device, as JAX names it.

    Returns:
      Seconds, or None if a device is of no known kind, such as a CPU.
    """
    peak = 0.0
    for kind in device_kinds:
        name = chip_of(kind)
        if name is None:
            return None
        peak += CHIPS[name].flops / CHIPS[name].devices
    return flops / peak


def mean_loss(step: int, metrics: Sequence[Metrics]) -> float:
    """Returns the token-weighted mean loss of some steps; infinite if all were skipped.

    Args:
      step: number of finished steps, for the error.
      metrics: metrics of the steps.

    Raises:
      NotFinite: a loss or a gradient is not finite.
    """
    names = ("loss_sum", "weight_sum", "grad_norm")
    on_device = []
    for step_metrics in metrics:
        on_device.append([step_metrics[name] for name in names])
    fetched = np.array(jax.device_get(on_device), np.float64)
    loss, weight, grad_norm = fetched.sum(axis=0).tolist()
    if weight == 0:
        return math.inf
    # A gradient that is not finite shows in the loss one step later, when the parameters are
    # damaged and saved.
    check_finite(step, loss / weight + 0.0 * grad_norm)
    return loss / weight


def check_finite(step: int, loss: float) -> None:
    """Checks that a loss is a number.

    Args:
      step: number of finished steps, for the error.
      loss: the loss.

    Raises:
      NotFinite: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise NotFinite(
            f"the loss is {loss} at step {step}. The last checkpoint is from before. Lower "
            "LEARNING_RATE, lengthen the warm-up, or look at the batch's examples with "
            "MixturePlan.rows(step)"
        )
