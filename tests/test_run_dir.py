import os
import signal
import subprocess
import sys

import pytest

from flan_jax.errors import InputError
from flan_jax.json_files import read_json, read_jsonl, write_json
from flan_jax.run_dir import Run

HOLD = """
import sys, time
from flan_jax.run_dir import Run

run = Run(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the run directory's lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_two_processes_cannot_write_one_run_and_a_killed_one_lets_go(tmp_path, holder):
    with pytest.raises(
        InputError, match=f"another process is writing {tmp_path / 'run'}"
    ):
        Run(tmp_path / "run")
    assert Run(tmp_path / "other").path == tmp_path / "other"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    Run(tmp_path / "run")


def test_a_run_directory_has_its_folders(tmp_path):
    run = Run(tmp_path / "a" / "b")
    assert {path.name for path in run.path.iterdir()} == {
        "eval",
        "predictions",
        "checkpoints",
        ".lock",
    }
    assert run.result is None
    write_json(run.path / "result.json", {"step": 3})
    assert run.result == {"step": 3}


@pytest.mark.parametrize("path", ["taken", "taken/run"])
def test_a_file_in_the_way_is_an_error(tmp_path, path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(
        InputError,
        match=rf"{path} cannot be written \(.*taken.*Choose another --run_dir",
    ):
        Run(tmp_path / path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_an_error(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o500)
    with pytest.raises(InputError, match="run cannot be written .Permission denied"):
        Run(tmp_path / "run")


def test_a_run_goes_on_only_as_what_it_is(tmp_path):
    run = Run(tmp_path)
    run.write_manifest(
        {"seed": 0, "shape": (1, 2), "plan": "a"}, {"created": "yesterday"}
    )
    run.write_manifest({"seed": 0, "shape": (1, 2), "plan": "a"}, {"created": "today"})
    expected = {
        "identity": {"seed": 0, "shape": [1, 2], "plan": "a"},
        "created": "today",
    }
    assert read_json(tmp_path / "manifest.json") == expected
    with pytest.raises(InputError) as raised:
        run.write_manifest(
            {"seed": 1, "shape": (1, 2), "loss": "sum"}, {"created": "later"}
        )
    assert str(raised.value) == (
        f"{tmp_path} holds another run. What differs:\n"
        "    loss: None there, sum now\n    plan: a there, None now\n    seed: 0 there, 1 now\n"
        "Go on with its own settings, or choose another --run_dir for these"
    )
    assert read_json(tmp_path / "manifest.json") == expected


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path):
    run = Run(tmp_path)
    run.truncate_metrics(0)
    for step in (10, 20, 30):
        run.log({"step": step, "loss": 1 / step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')  # the process was killed here
    run.truncate_metrics(20)
    run.log({"step": 25, "loss": 0.5})
    expected = [
        {"step": 10, "loss": 0.1},
        {"step": 20, "loss": 0.05},
        {"step": 25, "loss": 0.5},
    ]
    assert list(read_jsonl(tmp_path / "metrics.jsonl")) == expected
