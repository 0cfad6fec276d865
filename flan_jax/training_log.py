"""What the training loop keeps of its steps: a line of metrics.jsonl and TensorBoard every so many of them."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
import optax
import tensorboardX

from flan_jax.progress import show_means
from flan_jax.run import Run, read_jsonl


class NotFinite(ArithmeticError):
    """The loss is NaN or infinite."""


class Log:
    """Metrics of the steps between two log lines, fetched from the device once a line; to metrics.jsonl and TensorBoard.

    `scored_step` and `means`: the last step with an evaluation in between, and its scores as text.
    """

    def __init__(self, run: Run, rate: optax.Schedule, step: int):
        self._run, self._rate = run, rate
        self._pending: list[Mapping[str, jax.Array]] = []
        earlier = list(read_jsonl(run.path / "metrics.jsonl"))
        self._since = time.monotonic()
        self._start = self._since - next((row["seconds"] for row in reversed(earlier) if "seconds" in row), 0.0)
        last = next((row for row in reversed(earlier) if "eval" in row), {"step": 0, "eval": {}})
        self.scored_step, self.means = last["step"], show_means(last["eval"])
        # Points after `step` are those of a process that died; the run draws them again.
        self._board = tensorboardX.SummaryWriter(
            str(run.path / "tensorboard"), purge_step=step + 1, write_to_disk=run.writes
        )

    def add(self, metrics: Mapping[str, jax.Array]) -> None:
        self._pending.append(metrics)

    def write(self, step: int) -> dict[str, int | float]:
        """The line of metrics.jsonl for the steps since the last. Raises NotFinite."""
        fetched = jax.device_get(self._pending)
        total = {name: float(np.sum([m[name] for m in fetched], dtype=np.float64)) for name in fetched[0]}
        weight, now = total["weight_sum"], time.monotonic()
        if total.get("skipped") == len(fetched):
            raise NotFinite(
                f"the loss was not finite in any of the {len(fetched)} steps before step {step}; all were skipped"
            )
        seconds = now - self._since
        row = {
            "step": step,
            "loss": (total["loss_sum"] - total["z_loss_sum"]) / weight,
            "z_loss": total["z_loss_sum"] / weight,
            "accuracy": 100 * total["correct_sum"] / weight,
            "learning_rate": float(np.asarray(self._rate(step - 1))),
            "grad_norm": total["grad_norm"] / len(fetched),
            "tokens_per_second": total["tokens"] / seconds,
            "supervised_tokens_per_second": weight / seconds,
            "seconds": now - self._start,
        }
        if total.get("skipped"):
            row["skipped"] = int(total["skipped"])
        check_finite(step, row["loss"])
        self._run.log(row)
        for name, value in row.items():
            self._board.add_scalar(f"train/{name}", value, step)
        self._board.flush()
        self._pending, self._since = [], now
        return row

    def write_means(self, step: int, means: Mapping[str, float]) -> None:
        """The line of an evaluation after `step` steps: {cluster: mean}."""
        self._run.log({"step": step, "eval": dict(means)})
        for cluster, mean in means.items():
            self._board.add_scalar(f"eval/{cluster}", mean, step)
        self.scored_step, self.means = step, show_means(means)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside takes no part in tokens a second."""
        begun = time.monotonic()
        yield
        self._since += time.monotonic() - begun


def mean_loss(step: int, metrics: list[Mapping[str, jax.Array]]) -> float:
    """The token-weighted mean of the loss sums of some steps. Raises NotFinite."""
    fetched = np.array(jax.device_get([(m["loss_sum"], m["weight_sum"], m["grad_norm"]) for m in metrics]), np.float64)
    loss, weight, grad_norm = fetched.sum(axis=0).tolist()
    # A gradient that is not finite shows in the loss one step later, when the parameters are spoilt and saved.
    check_finite(step, loss / weight + 0.0 * grad_norm)
    return loss / weight


def check_finite(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise NotFinite(
            f"the loss is {loss} at step {step}. The last checkpoint is from before. Lower LEARNING_RATE, lengthen the warm-up, "
            "or look at the batch's examples with MixturePlan.rows(step)"
        )
