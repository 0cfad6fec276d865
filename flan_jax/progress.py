"""Progress on the terminal: a live bar, or plain lines in a log file."""

import sys
import time
from collections.abc import Mapping

import rich.console
import rich.progress

LINE_SECONDS = 10.0
"""The least time between two lines in a log file."""

WIDTH_OF_TABLES = 180
"""Columns of a table that is not shown on a terminal."""


class Progress:
    """Shows how much of some work is done: a bar on a terminal, elsewhere a line now and then.

    >>> with Progress("train", total=100) as progress:
    ...     progress.update(10, "loss 2.1")
    train 10/100  loss 2.1  0:45 left
    """

    def __init__(self, label: str, total: int, done: int = 0):
        """Prepares the bar.

        Args:
          label: a short name of the work.
          total: the number of steps.
          done: steps that were done before.
        """
        self.label = label
        self.total = total
        self._timed: tuple[int, float] | None = None
        self._last_line = 0.0
        self._console = rich.console.Console(stderr=True)
        self._bar = rich.progress.Progress(
            "{task.description}",
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            "{task.fields[text]}",
            rich.progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(label, total=total, completed=done, text="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()

    def skip_to(self, done: int) -> None:
        """Moves the bar over steps that took no work; they do not count for the time left.

        Args:
          done: the number of finished steps.
        """
        self._timed = None
        self._bar.reset(self._task, total=self.total, completed=done, text="")

    def update(self, done: int, text: str = "") -> None:
        """Shows how many steps are done.

        A terminal shows a bar. Other outputs get a line every LINE_SECONDS seconds, and one at the
        end. The time left is that of the steps after the first update, since what comes before it
        is often compiled.

        Args:
          done: the number of finished steps.
          text: shown behind the numbers, such as the loss.
        """
        now = time.monotonic()
        if self._timed is None:
            self._timed = done, now
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, text=text)
            return
        is_due = now - self._last_line >= LINE_SECONDS
        if is_due or done >= self.total:
            self._last_line = now
            line = f"{self.label} {done}/{self.total}  {text}  {self._time_left(done, now)}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    def _time_left(self, done: int, now: float) -> str:
        """Returns "1:05 left" for 65 seconds; "" if that is not known yet, or all is done."""
        first_done, first_time = self._timed or (done, now)
        if done <= first_done or done >= self.total:
            return ""
        seconds_a_step = (now - first_time) / (done - first_done)
        seconds = seconds_a_step * (self.total - done)
        return f"{seconds // 60:.0f}:{seconds % 60:02.0f} left"


def show(metrics: Mapping[str, int | float]) -> str:
    """Returns the metrics of a training step that fit on a line.

    Args:
      metrics: a line of metrics.jsonl.
    """
    line = (
        f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.1f}%  "
        f"{metrics['tokens_per_second']:,.0f} tok/s, "
        f"{metrics['supervised_tokens_per_second']:,.0f} supervised, "
        f"{metrics['packed']:.0f}% packed"
    )
    if "mfu" in metrics:
        line += f"  MFU {metrics['mfu']:.1f}%"
    return line


def show_means(means: Mapping[str, int | float]) -> str:
    """Returns the mean scores of clusters on a line: "nli 43.2%  misc 10.0%"."""
    return "  ".join(f"{cluster} {mean:.1f}%" for cluster, mean in means.items())


def table_console() -> rich.console.Console:
    """Returns a console for tables on stdout: as wide as the terminal, or else wide."""
    terminal = rich.console.Console()
    return (
        terminal
        if terminal.is_terminal
        else rich.console.Console(width=WIDTH_OF_TABLES)
    )
