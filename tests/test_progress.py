import io

import pytest

from flan_jax import progress
from flan_jax.progress import Progress, show, show_means, table_console


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: set clock.now."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_file_gets_a_line_now_and_then(clock, capsys):
    with Progress("train", total=100, done=20) as bar:
        clock.now += 50  # compiling, which does not count for the time left
        bar.update(20)
        clock.now += 9
        bar.update(29, "loss 2.1")
        clock.now += 1
        bar.update(30, "loss 2.0")
        clock.now += 5
        bar.update(100, "loss 1.0")
    assert capsys.readouterr().err.splitlines() == [
        "train 20/100",
        "train 30/100  loss 2.0  1:10 left",
        "train 100/100  loss 1.0",
    ]


def test_steps_that_took_no_work_do_not_count_for_the_time_left(clock, capsys):
    """An evaluation that goes on has 900 of 1,000 prompts in its file, and needs 2 s for each."""
    with Progress("evaluate", total=1000) as bar:
        for done in range(100, 1000, 100):
            bar.skip_to(done)
        clock.now += 20
        bar.update(910)
        clock.now += 20
        bar.update(920)
    assert capsys.readouterr().err.splitlines() == [
        "evaluate 910/1000",
        "evaluate 920/1000    2:40 left",
    ]


def test_a_terminal_gets_a_bar_that_is_removed(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("train", total=3) as bar:
        bar.update(2, "loss 2.1")
        bar.skip_to(2)
        bar.update(2, "loss 2.1")
        assert "train 2/3" not in terminal.getvalue()
    assert "2/3" in terminal.getvalue()
    assert "loss 2.1" in terminal.getvalue()


def test_metrics_on_a_line():
    metrics = {
        "loss": 2.13456,
        "accuracy": 41.26,
        "tokens_per_second": 12345.6,
        "supervised_tokens_per_second": 1234.5,
        "packed": 98.4,
    }
    line = "loss 2.135  accuracy 41.3%  12,346 tok/s, 1,234 supervised, 98% packed"
    assert show(metrics) == line
    assert show(metrics | {"mfu": 31.24}) == f"{line}  MFU 31.2%"


def test_means_on_a_line():
    assert show_means({"nli": 43.21, "misc": 10}) == "nli 43.2%  misc 10.0%"
    assert show_means({}) == ""


def test_tables_in_a_file_are_wide(capsys):
    assert table_console().width == 180
