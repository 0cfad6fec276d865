"""launch/mixture.py."""

import re

import tasks  # noqa: F401 (registers)
from flan_jax.cli import mixture, program  # fmt: skip


def test_mixture(gin_file, capsys, tmp_path):
    few = [gin_file, "--gin.DataConfig.examples_per_dataset=20"]
    assert (
        program.exit_code(
            mixture.main,
            [*few, "flan2021_7_clusters_1_each", f"--picture={tmp_path / 'm.html'}"],
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert re.search(r"aeslc +summarization +20 +0 +20 +14\.3%", shown)
    assert "held out: nothing" in shown
    page = (tmp_path / "m.html").read_text()
    assert (
        "<svg" in page
        and "aeslc" in page
        and "Filtered: rows that the task leaves out" in page
    )
    assert program.exit_code(mixture.main, [*few, "sst2", "--diff=cola"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"sst2 +100\.00% +- +-100\.00", shown) and re.search(
        r"cola +- +100\.00% +\+100\.00", shown
    )


def test_mixture_errors(refused, tmp_path):
    assert "Did you mean 'flan2021'" in refused(mixture.main, "flan202")
    assert "unknown cluster to hold out 'nlu'" in refused(
        mixture.main, "practice", "--held_out=nlu"
    )
    few = (
        "rte",
        "--gin.DataConfig.examples_per_dataset=5",
        "--gin.DataConfig.workers=0",
    )
    assert "ends in .png, .svg, .pdf or .html" in refused(
        mixture.main, *few, f"--picture={tmp_path / 'x.txt'}"
    )
