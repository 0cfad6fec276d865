"""The report of launch/preflight.py; tests/cli/test_preflight.py starts the program."""

import pytest
from preflight_jobs import make_target

from flan_jax.cli import preflight, program
from flan_jax.preflight.compile import Compiled
from flan_jax.preflight.report import format_cost
from flan_jax.preflight.roofline import Price, Roofline


def test_hours_and_dollars():
    prices = {"v4": Price(3.0, "2025-01", "us")}
    seconds = Roofline(compute=1.0, memory=0.5, ici=0.5)
    assert format_cost(seconds, 3600, make_target(4, chip="v4"), prices) == (
        "1.00 s per step if everything overlaps, 2.00 s if nothing does; 3,600 steps: "
        "1.0 h to 2.0 h, $12.00 to $24.00"
    )


@pytest.mark.parametrize("step", ["compile_option_scoring", "compile_generation"])
def test_an_evaluation_that_does_not_fit_is_said(step, monkeypatch, capsys):
    def compile_job(job, target):
        mesh = {"data": 4, "fsdp": 2, "tensor": 1}
        return Compiled(job, mesh, 0, 0, 2**30, None, 0.0)

    monkeypatch.setattr(f"flan_jax.preflight.report.{step}", compile_job)
    beams = [
        "--gin.EvalConfig.generation=@GenerationConfig()",
        "--gin.GenerationConfig.num_beams=2",
    ]
    flags = ["--gin_file=flan_mixture.gin", *beams]
    assert program.exit_code(preflight.main, flags) == 1
    printed = capsys.readouterr()
    for_beams = step == "compile_generation"
    assert ("up to 48 tokens with 2 beams" in printed.out) == for_beams
    assert ("fewer beams (GenerationConfig.num_beams)" in printed.out) == for_beams
    assert "FITS: headroom" in printed.out
    assert "--gin.EvalConfig.rows=8" in printed.out
    assert "DOES NOT FIT" in printed.err
