"""launch/leakage.py."""

import json

import tasks  # noqa: F401 (registers)
from flan_jax.cli import gin_settings, leakage, program  # fmt: skip
from flan_jax.json_files import write_json
from flan_jax.parallel.mesh import make_mesh
from flan_jax.reports import sweep_report
from flan_jax.training import manifest


def test_leakage(gin_file, capsys, refused, leaking):
    said = refused(leakage.main, gin_file, "leaking", "--held_out=nli")
    assert said.startswith(
        "the training mixture leaks into the held-out tasks in 1 way:\n  rte <- rte_again: the same source"
    )
    assert (
        program.exit_code(leakage.main, [gin_file, "leaking", "--held_out=sentiment"])
        == 0
    )
    assert "no leak" in capsys.readouterr().out
    assert "nothing is held out" in refused(leakage.main, gin_file, "leaking")


def test_the_audit_of_a_run_is_in_its_sweeps_report(
    gin_file, refused, leaking, tmp_path
):
    run_dir = tmp_path / "sweep" / "runs" / "0a"
    run_dir.mkdir(parents=True)
    settings = [gin_file, "--gin.MIXTURE=leaking", "--gin.HELD_OUT=nli"]
    line = {
        "index": 0,
        "id": "0a",
        "name": "HELD_OUT=nli",
        "point": {"HELD_OUT": "nli"},
        "directory": "runs/0a",
    }
    write_json(tmp_path / "sweep" / "plan.json", {"axes": {"HELD_OUT": ["nli"]}})
    (tmp_path / "sweep" / "runs.jsonl").write_text(json.dumps(line) + "\n")
    assert "holds no run" in refused(leakage.main, *settings, f"--run_dir={run_dir}")
    loaded = gin_settings.resolve(
        [gin_file.partition("=")[2]], ["MIXTURE = 'leaking'", "HELD_OUT = 'nli'"]
    )
    write_json(
        run_dir / "manifest.json",
        manifest.run_metadata(loaded[0].model, loaded[0].data, make_mesh(None)),
    )
    (run_dir / "config.gin").write_text(loaded[1])
    assert (
        "1 of 1 combinations"
        in sweep_report.write(tmp_path / "sweep").with_suffix(".md").read_text()
    )
    assert "held_out is nli in the run, sentiment now" in refused(
        leakage.main, *settings[:2], "--held_out=sentiment", f"--run_dir={run_dir}"
    )
    assert "leaks into the held-out tasks" in refused(
        leakage.main, f"--run_dir={run_dir}"
    )
    text = sweep_report.write(tmp_path / "sweep").with_suffix(".md").read_text()
    assert (
        "| HELD_OUT=nli | rte | rte_again | the same source |" in text
        and "pairs" not in text
    )
