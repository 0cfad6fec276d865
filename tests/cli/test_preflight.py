"""launch/preflight.py."""

import jax
import pytest

from flan_jax.cli import preflight, program
from flan_jax.preflight.target import devices_here


def test_the_program_reads_no_data(capsys):
    cache = jax.config.jax_compilation_cache_dir
    flags = [
        "--gin_file=flan_mixture.gin",
        "--gin.SOURCE='tfds'",
        "--gin.DATA_DIR='/nowhere'",
    ]
    assert program.exit_code(preflight.main, flags) == 0
    text = capsys.readouterr().out
    for part in ("devices 8 (cpu)", "FITS: headroom", "all-reduce"):
        assert part in text
    assert jax.config.jax_compilation_cache_dir == cache
    assert program.exit_code(preflight.main, [*flags, "--topology=v4:banana"]) == 2
    assert "error: --topology=v4:banana" in capsys.readouterr().err


def replace_devices(monkeypatch, **fields):
    """Replaces fields of the devices here."""
    target = devices_here()._replace(**fields)
    monkeypatch.setattr("flan_jax.preflight.report.devices_here", lambda: target)


@pytest.mark.parametrize("flags", [[], ["--search"]])
def test_what_does_not_fit_is_the_last_line_and_another_exit_code(
    flags, monkeypatch, capsys
):
    replace_devices(monkeypatch, memory=2**16)
    assert (
        program.exit_code(preflight.main, ["--gin_file=flan_mixture.gin", *flags]) == 1
    )
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line.startswith("error: DOES NOT FIT 8 x cpu, here: ")


@pytest.mark.parametrize(
    "flags, text",
    [
        (
            ["--gin_file=flan_mixture.gin", "--runs=3"],
            "the sweep of 3 runs, 3.0 times this run's FLOPs",
        ),
        (["--gin_file=number_of_templates.gin"], "the sweep of 3 runs, 3.0 times"),
    ],
)
def test_a_sweep_is_known_by_its_runs_or_its_gin_file(flags, text, monkeypatch, capsys):
    replace_devices(monkeypatch, chip="v4")
    assert program.exit_code(preflight.main, flags) == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--runs=0"], ["--gin_file=leave_one_cluster_out.gin", "--runs=2"]]
)
def test_a_number_of_runs_that_cannot_be(flags, capsys):
    assert (
        program.exit_code(preflight.main, ["--gin_file=flan_mixture.gin", *flags]) == 2
    )
    assert "leave it out" in capsys.readouterr().err
