import pytest
from run_directory import scores, task, write_run
from sweep_directory import write_json

from flan_jax.errors import InputError
from flan_jax.reports.run_files import read_run


def test_tasks_are_sorted_by_cluster_and_name(tmp_path):
    run = write_run(
        tmp_path,
        task("rte", after=scores(50.0)),
        task("piqa", "commonsense", False, after=scores(50.0)),
        task("cb", after=scores(50.0)),
        task("copa", "commonsense", False, after=scores(50.0)),
    )
    files = read_run(run)
    assert [record.task for record in files.held_out] == ["cb", "rte"]
    assert {
        name: [record.task for record in records]
        for name, records in files.trained_on.items()
    } == {"commonsense": ["copa", "piqa"]}


@pytest.mark.parametrize(
    "held_out, name",
    [("nli", "nli"), (["nli", "sentiment"], "nli, sentiment"), (None, None)],
)
def test_the_name_of_what_is_held_out(tmp_path, held_out, name):
    assert read_run(write_run(tmp_path, held_out=held_out)).held_out_name == name


def test_damaged_files_are_input_errors(tmp_path):
    damaged_scores = write_run(tmp_path / "scores", {"task": "rte", "after": {}})
    with pytest.raises(InputError, match=r"0\.json is not what a run writes"):
        read_run(damaged_scores)

    damaged_mixture = write_run(tmp_path / "mixture")
    write_json(damaged_mixture / "manifest.json", {"mixture": {"tasks": []}})
    with pytest.raises(
        InputError, match=r"manifest\.json: its mixture is not what a run writes"
    ):
        read_run(damaged_mixture)
