"""A live bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping

import rich.console
import rich.progress

LINE_SECONDS = 10.0
"""On a pipe or in a log file: at most a line so often."""


class Progress:
    """Counts towards `total` under a label. Use as a context; `update(done, text)` from the loop."""

    def __init__(self, label: str, total: int, done: int = 0):
        self.label, self.total, self._start, self._first = label, total, time.monotonic(), done
        self._console = rich.console.Console(stderr=True)
        self._last_line = 0.0
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

    def update(self, done: int, text: str = "") -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, text=text)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS or done >= self.total:
            self._last_line = now
            print(
                f"{self.label} {done}/{self.total}  {text}  {self._eta(done, now)}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def _eta(self, done: int, now: float) -> str:
        if done <= self._first or done >= self.total:
            return ""
        left = (now - self._start) / (done - self._first) * (self.total - done)
        return f"{left // 60:.0f}:{left % 60:02.0f} left"


def show(metrics: Mapping[str, int | float]) -> str:
    """The figures of a step that fit on a line."""
    mfu = f"  MFU {metrics['mfu']:.1f}%" if "mfu" in metrics else ""
    return (
        f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.1f}%  {metrics['tokens_per_second']:,.0f} tok/s, "
        f"{metrics['supervised_tokens_per_second']:,.0f} supervised, {metrics['packed']:.0f}% packed{mfu}"
    )


def table_console() -> rich.console.Console:
    """For tables on stdout: as wide as the terminal, and wide enough for all columns where there is none."""
    terminal = rich.console.Console()
    return terminal if terminal.is_terminal else rich.console.Console(width=180)


def show_means(means: Mapping[str, int | float]) -> str:
    """The mean scores of clusters: "nli 43.2%"."""
    return "  ".join(f"{cluster} {mean:.1f}%" for cluster, mean in means.items())
