"""launch/prepare.py."""

import tasks  # noqa: F401 (registers)
from flan_jax.cli import prepare, program  # fmt: skip


def test_tasks_trained_on_that_cannot_be_evaluated_are_trained_on_all_the_same(
    gin_file, capsys, blind
):
    assert program.exit_code(prepare.main, [gin_file, "--gin.MIXTURE=dim"]) == 0
    shown = capsys.readouterr()
    assert "not evaluated:\n  untested" in shown.err
    assert "4 tasks with 80 training examples and 2 evaluation sets" in shown.out


def test_data_is_prepared_where_the_cache_is(gin_file, capsys, tmp_path):
    assert program.exit_code(prepare.main, [gin_file]) == 0
    output = capsys.readouterr()
    assert (
        "prepared: 1 task with 20 training examples and 1 evaluation set" in output.out
    )
    assert "practice corpus" in output.err
    assert len(list((tmp_path / "cache" / "flan_jax").rglob("tokens.arrow"))) == 2
    assert not (tmp_path / "runs").exists()
