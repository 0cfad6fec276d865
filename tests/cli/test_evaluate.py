"""launch/evaluate.py."""

import tasks  # noqa: F401 (registers)
from flan_jax.cli import evaluate, program  # fmt: skip


def test_evaluating_a_run_that_never_was(refused, gin_file, tmp_path):
    said = refused(evaluate.main, gin_file, f"--run_dir={tmp_path / 'absent'}")
    assert said == (
        f"there is no run in {tmp_path / 'absent'} whose checkpoint could be scored. Name a run with --run_dir, or any "
        "checkpoint with --gin.WARM_START"
    )
    said = refused(evaluate.main, gin_file, f"--gin.WARM_START={tmp_path / 'absent'}")
    assert said.startswith(
        f"there is no folder {tmp_path / 'absent'} to take parameters from"
    )


def test_what_cannot_be_evaluated_is_named(gin_file, capsys, refused, blind):
    assert (
        program.exit_code(evaluate.main, [gin_file, blind, "--tasks=dim", "--dry_run"])
        == 0
    )
    shown = capsys.readouterr()
    assert (
        "not evaluated:\n  untested: it has no test split\n  around: all its templates are turned around"
        in shown.err
    )
    assert {line.split()[1] for line in shown.out.splitlines()} == {"wnli", "sst2"}
    for task, reason in (
        ("untested", "no test split"),
        ("around", "all its templates are turned around"),
    ):
        said = refused(evaluate.main, gin_file, blind, f"--tasks={task}")
        assert (
            said.startswith("none of the tasks to evaluate can be evaluated:")
            and reason in said
        )
    assert "Did you mean 'wnli'?" in refused(
        evaluate.main, gin_file, blind, "--tasks=sst2,wnly"
    )
