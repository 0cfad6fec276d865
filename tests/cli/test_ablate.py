"""launch/ablate.py."""

from sweep_directory import write_sweep

from flan_jax.cli import ablate, program


def test_settings_of_this_machine_are_refused_for_a_queue(capsys):
    flags = [
        "--gin_file=leave_one_cluster_out.gin",
        "--engine=slurm",
        "--dry_run",
        "--gin.AblationConfig.base=None",
    ]
    assert (
        program.exit_code(
            ablate.main,
            [*flags, "--slots=2", "--gin.AblationConfig.axes={'HELD_OUT': ['nli']}"],
        )
        == 2
    )
    assert "--slots and --devices are for this machine" in capsys.readouterr().err


def test_a_report_is_made_of_the_files_at_any_time(tmp_path, capsys):
    write_sweep(
        tmp_path / "sweep",
        axes={"HELD_OUT": ["nli"], "SEED": [0, 1]},
        states={1: "waiting"},
    )
    assert (
        program.exit_code(
            ablate.main, ["--report", f"--sweep_dir={tmp_path / 'sweep'}"]
        )
        == 0
    )
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert "1 finished, 1 waiting" in (tmp_path / "sweep/report.md").read_text()
