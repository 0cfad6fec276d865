"""The SkyPilot engine."""

import json
from pathlib import Path

import pytest
from toy_sweeps import RUNS, engine

from flan_jax.errors import InputError
from flan_jax.sweeps import queue
from flan_jax.sweeps.engines import skypilot


def test_the_task_for_skypilot():
    yaml = pytest.importorskip("yaml")
    written = engine("skypilot").files(Path("/mnt/sweeps/loco"), RUNS[:2])
    task = yaml.safe_load(written[skypilot.FILE])
    assert "jax[tpu]" in task.pop("setup")
    assert task == {
        "name": "loco",
        "workdir": str(queue.ROOT),
        "file_mounts": {"/mnt/sweeps": {"source": "gs://my-bucket", "mode": "MOUNT"}},
        "resources": {
            "infra": "gcp/us-central1/us-central1-a",
            "accelerators": "tpu-v5litepod-16",
            "use_spot": True,
            "accelerator_args": {"runtime_version": "v2-alpha-tpuv5-lite"},
            "job_recovery": {"recover_on_exit_codes": [42]},
        },
        "run": (
            "set -e\ncd ~/sky_workdir\nruns=(\n  aa  # HELD_OUT=a\n  bb  # HELD_OUT=b\n)\n. ~/flan/bin/activate\n"
            "exec python launch/ablate.py run --plan=/mnt/sweeps/loco --index=${runs[$SKYPILOT_JOB_RANK]}\n"
        ),
    }
    in_pool = engine(
        "skypilot", "SkyPilotEngine.pool = 'flan'", "SkyPilotEngine.workers = 3"
    )
    job, pool = (
        yaml.safe_load(text)
        for text in in_pool.files(Path("/mnt/sweeps/loco"), RUNS[:2]).values()
    )
    assert (job["run"], job["resources"]) == (task["run"], task["resources"])
    assert set(job) == {"name", "resources", "run"}
    assert pool["pool"] == {"workers": 3}
    assert set(pool) == {"pool", "resources", "workdir", "file_mounts", "setup"}
    (command,) = in_pool.commands(Path("/mnt/sweeps/loco"), RUNS, None)
    assert command.argv == [
        "sky", "jobs", "launch", "--yes", "--detach-run", "--pool=flan", "--num-jobs=4", "/mnt/sweeps/loco/skypilot.yaml",
    ]  # fmt: skip


def test_the_jobs_that_skypilot_names():
    (command,) = engine("skypilot").commands(Path("/mnt/sweeps/loco"), RUNS[:3], None)
    assert command.jobs(
        "...\n\x1b[0mJobs submitted with IDs: \x1b[36m3,5-6\x1b[0m.\n"
    ) == ["3", "5", "6"]
    with pytest.raises(InputError, match="does not say which 3 jobs"):
        command.jobs("Jobs submitted with IDs: 3-4.")


def test_jobs_of_skypilot_that_have_not_ended(clients):
    clients(
        "sky",
        json.dumps(
            [{"job_id": 7, "status": "RUNNING"}, {"job_id": 9, "status": "RECOVERING"}]
        ),
    )
    assert engine("skypilot").queued() == {"7", "9"}
    assert clients.calls() == ["sky jobs queue --skip-finished --all --output=json"]
