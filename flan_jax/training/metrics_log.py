"""What the training loop keeps of its steps: a line of metrics.jsonl and TensorBoard every so many of them."""

import contextlib
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args

import jax
import numpy as np
import optax
import tensorboardX

from flan_jax.errors import InputError, RunFailed
from flan_jax.hardware import CHIPS, Number, chip_of
from flan_jax.json_files import read_jsonl
from flan_jax.progress import show_means
from flan_jax.run_dir import Run

T = TypeVar("T")
Phase = Literal["input", "dispatch", "device", "checkpoint", "evaluation", "compile"]
"""What the loop does: waits for a batch, starts a step, waits for the device, saves, evaluates, compiles its first step."""
PHASES: tuple[Phase, ...] = get_args(Phase)
EXCLUDED_FROM_RATES: tuple[Phase, ...] = ("compile", "evaluation")
NO_STEPS = range(0)


class NotFinite(RunFailed):
    """The loss is NaN or infinite."""


class Log:
    """Metrics of the steps between two log lines, fetched from the device once a line; to metrics.jsonl and TensorBoard.

    `rate` gives the learning rate of a step, `step` steps are taken already. row_tokens: of a batch, with padding. seconds_at_peak: of a step, None where the
    devices' peak is not known. profile: the steps to trace, counted from 0; InputError where the first of them is taken.
    `scored_step` and `means`: the last step with an evaluation in between, and its scores as text.
    """

    def __init__(
        self,
        run: Run,
        rate: optax.Schedule,
        step: int,
        *,
        row_tokens: int,
        seconds_at_peak: float | None = None,
        profile: range = NO_STEPS,
    ):
        if profile and profile.start < step:
            raise InputError(
                f"--profile begins with step {profile.start + 1}, and the run goes on with step {step + 1}: choose later steps"
            )
        self._run, self._rate, self._seconds_at_peak, self._profile = (
            run,
            rate,
            seconds_at_peak,
            profile,
        )
        self._row_tokens, self._pending = row_tokens, list[Mapping[str, jax.Array]]()
        earlier = list(read_jsonl(run.path / "metrics.jsonl"))
        self._phases: dict[str, float] = {}
        self._since = time.monotonic()
        self._start = self._since - next(
            (row["seconds"] for row in reversed(earlier) if "seconds" in row), 0.0
        )
        last = next((row for row in reversed(earlier) if "eval" in row), {"step": 0, "eval": {}})
        self.last_eval_step, self.means = last["step"], show_means(last["eval"])
        # Points after `step` are those of a process that died; the run draws them again.
        self._board = tensorboardX.SummaryWriter(
            str(run.path / "tensorboard"), purge_step=step + 1, write_to_disk=run.is_writer
        )

    @contextlib.contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """The seconds that the loop spends inside are told on the next line. Compiling and evaluation take no part in rates."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._phases[name] = self._phases.get(name, 0.0) + time.monotonic() - begun

    def steps(self, batches: Iterator[tuple[int, T]]) -> Iterator[tuple[int, T]]:
        """The same (step, batch); waiting for one is the phase "input". The steps of the profile are traced."""
        with contextlib.ExitStack() as tracing:
            while True:
                with self.phase("input"):
                    step, batch = next(batches, (-1, None))
                if step == self._profile.stop or batch is None:
                    tracing.close()
                if batch is None:
                    return
                if step == self._profile.start != self._profile.stop:
                    tracing.enter_context(self._traced())
                with jax.profiler.StepTraceAnnotation("train", step_num=step + 1):
                    yield step, batch

    @contextlib.contextmanager
    def _traced(self) -> Iterator[None]:
        """A trace of what happens inside, in profile/; the device is waited for at both ends, so that it holds whole steps."""
        folder = self._run.path / "profile"
        jax.block_until_ready(self._pending)
        with jax.profiler.trace(str(folder)):
            yield
            jax.block_until_ready(self._pending)
        print(
            f"The profile of the steps {self._profile.start + 1} to {self._profile.stop} is in {folder}. "
            f"Look at it with: pip install xprof && xprof --logdir={folder}"
        )

    def add(self, metrics: Mapping[str, jax.Array]) -> None:
        self._pending.append(metrics)

    def write(self, step: int) -> dict[str, int | float]:
        """The line of metrics.jsonl for the steps since the last. Raises NotFinite."""
        with self.phase("device"):
            fetched = jax.device_get(self._pending)
        total = {
            name: float(np.sum([m[name] for m in fetched], dtype=np.float64)) for name in fetched[0]
        }
        weight = total["weight_sum"]
        if total.get("skipped") == len(fetched):
            raise NotFinite(
                f"the loss was not finite in any of the {len(fetched)} steps before step {step}; all were skipped"
            )
        row = {
            "step": step,
            "loss": (total["loss_sum"] - total["z_loss_sum"]) / weight,
            "z_loss": total["z_loss_sum"] / weight,
            "accuracy": 100 * total["correct_sum"] / weight,
            "learning_rate": float(np.asarray(self._rate(step - 1))),
            "grad_norm": total["grad_norm"] / len(fetched),
            **self._speed(total),
        }
        if total.get("skipped"):
            row["skipped"] = int(total["skipped"])
        check_finite(step, row["loss"])
        self._run.log(row)
        for name, value in row.items():
            self._board.add_scalar(f"train/{name}", value, step)
        self._board.flush()
        self._pending = []
        return row

    def _speed(self, total: Mapping[str, float]) -> dict[str, int | float]:
        """Rates since the last line, and where the time went; begins anew.

        mfu: the model's FLOPs / seconds / peak FLOP/s of the devices, in percent: "model FLOPs utilization" (Chowdhery et
        al. 2022, PaLM, appendix B). packed: real tokens / tokens of the rows, in percent.
        """
        now = time.monotonic()
        seconds = (
            now - self._since - sum(self._phases.get(name, 0.0) for name in EXCLUDED_FROM_RATES)
        )
        row = {
            "tokens_per_second": total["tokens"] / seconds,
            "supervised_tokens_per_second": total["weight_sum"] / seconds,
            "packed": 100 * total["tokens"] / (self._row_tokens * len(self._pending)),
        }
        if self._seconds_at_peak is not None:
            row["mfu"] = 100 * self._seconds_at_peak * len(self._pending) / seconds
        row |= {f"{name}_seconds": self._phases[name] for name in PHASES if name in self._phases}
        self._since, self._phases = now, {}
        return row | {"seconds": now - self._start}

    def write_means(self, step: int, means: Mapping[str, float]) -> None:
        """The line of an evaluation after `step` steps: {cluster: mean}."""
        self._run.log({"step": step, "eval": dict(means)})
        for cluster, mean in means.items():
            self._board.add_scalar(f"eval/{cluster}", mean, step)
        self.last_eval_step, self.means = step, show_means(means)


def seconds_at_peak(flops: Number, devices: Iterable[Any]) -> float | None:
    """For so many FLOPs on all devices at their peaks, which are bf16's; None where one is of no known kind, such as a CPU."""
    names = [chip_of(device.device_kind) for device in devices]
    if None in names:
        return None
    return flops / sum(CHIPS[name].flops / CHIPS[name].devices for name in names if name)


def profiled_steps(text: str, steps: int) -> range:
    """The steps, counted from 0, of --profile=N:M, which counts from 1, M included. Raises InputError for others than the run's.

    >>> profiled_steps("10:12", 100)
    range(9, 12)
    """
    found = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, found.groups()) if found else (0, 0)
    if not 1 <= first <= last <= steps:
        raise InputError(
            f"--profile={text} is no span of this run's {steps} steps; write the first and the last, e.g. --profile=10:12"
        )
    return range(first - 1, last)


def mean_loss(step: int, metrics: list[Mapping[str, jax.Array]]) -> float:
    """The token-weighted mean of the loss sums of some steps; infinite where all were skipped. Raises NotFinite."""
    fetched = np.array(
        jax.device_get([(m["loss_sum"], m["weight_sum"], m["grad_norm"]) for m in metrics]),
        np.float64,
    )
    loss, weight, grad_norm = fetched.sum(axis=0).tolist()
    if weight == 0:
        return math.inf
    # A gradient that is not finite shows in the loss one step later, when the parameters are spoilt and saved.
    check_finite(step, loss / weight + 0.0 * grad_norm)
    return loss / weight


def check_finite(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise NotFinite(
            f"the loss is {loss} at step {step}. The last checkpoint is from before. Lower LEARNING_RATE, lengthen the warm-up, "
            "or look at the batch's examples with MixturePlan.rows(step)"
        )
