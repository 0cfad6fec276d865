"""The XPK engine."""

import dataclasses
import json
from pathlib import Path

from toy_sweeps import RUNS, engine

from flan_jax.sweeps import queue
from flan_jax.sweeps.engines import xpk


def test_the_workload_for_xpk():
    by = engine(
        "xpk", "XpkEngine.slices = 2", "XpkEngine.activate = '. /env/bin/activate'"
    )
    (command,) = by.commands(Path("/mnt/sweeps/Leave one_out"), RUNS[:1], None)
    assert command.argv == [
        "xpk", "workload", "create", "--quiet", "--workload=leave-one-out-aa-0", "--cluster=flan", "--project=my-project",
        "--zone=us-central1-a", "--device-type=v5litepod-16", "--num-slices=2", "--priority=medium", "--max-restarts=50",
        "--termination-grace-period-seconds=300", "--docker-image=us-central1-docker.pkg.dev/my-project/flan/flan_jax:1",
        "--storage=sweeps",
        "--command=. /env/bin/activate && exec python launch/ablate.py run --plan='/mnt/sweeps/Leave one_out' --index=aa",
    ]  # fmt: skip
    assert command.jobs("whatever XPK prints") == ["leave-one-out-aa-0"]


def test_a_workload_has_another_name_each_time_and_a_short_one(tmp_path):
    by, run = engine("xpk"), dataclasses.replace(RUNS[0], id="9f3a2c11d0")
    sweep_dir = tmp_path / ("2 " + "long " * 20)
    sweep_dir.mkdir()
    names = []
    for _ in range(2):
        (command,) = by.commands(sweep_dir, [run], None)
        names += command.jobs("")
        (sweep_dir / queue.SUBMITTED).write_text(
            json.dumps({"run": run.id, "engine": "xpk", "job": names[0]}) + "\n"
        )
    assert names == ["sweep-9f3a2c11d0-0", "sweep-9f3a2c11d0-1"]
    (command,) = by.commands(tmp_path / ("long-" * 20), [run], None)
    assert len(command.jobs("")[0]) <= xpk.LONGEST


def test_workloads_that_have_not_ended(clients):
    header = "Jobset Name   Created Time   Priority   TPU/GPU VMs Needed   TPU/GPU VMs Running/Ran   TPU/GPU VMs Done   Status"
    rows = [
        ("done", "Finished"),
        ("runs", "Admitted"),
        ("waits", "QuotaReserved"),
        ("new", "<none>"),
    ]
    lines = [
        f"{name}   2026-01-01T00:00:00Z   medium   4   4   <none>   {state}   a message   then"
        for name, state in rows
    ]
    clients(
        "xpk",
        "\n".join(
            ["[XPK] Workload List Output:", header, *lines, "[XPK] Exiting XPK cleanly"]
        ),
    )
    assert engine("xpk").queued() - {"Jobset Name"} == {"runs", "waits", "new"}
