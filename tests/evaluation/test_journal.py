from flan_jax.evaluation.journal import Journal

IDENTITY = {"prompts": "none", "rows": 8}


def unexpected():
    raise AssertionError("this result is in the file")


def test_finished_results_are_not_computed_again(tmp_path):
    path = tmp_path / "after.partial"
    journal = Journal(path, IDENTITY)
    assert journal.get_or_compute(lambda: [1, {"a": 2.5}]) == [1, {"a": 2.5}]
    assert journal.get_or_compute(list) == []
    with path.open("a") as file:
        file.write('{"result": [{"pred')  # half a line, as a kill leaves it

    resumed = Journal(path, IDENTITY)
    assert resumed.get_or_compute(unexpected) == [1, {"a": 2.5}]
    assert resumed.get_or_compute(unexpected) == []
    assert resumed.get_or_compute(lambda: [3]) == [3]


def test_results_of_another_sequence_are_dropped(tmp_path):
    path = tmp_path / "after.partial"
    Journal(path, IDENTITY).get_or_compute(lambda: [1])
    other = Journal(path, IDENTITY | {"rows": 16})
    assert other.get_or_compute(lambda: [2]) == [2]


def test_only_the_writer_writes(tmp_path):
    path = tmp_path / "after.partial"
    Journal(path, IDENTITY, is_writer=False).get_or_compute(lambda: [1])
    assert not path.exists()
