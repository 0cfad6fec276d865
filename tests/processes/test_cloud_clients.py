"""What we write for SkyPilot and XPK, read by themselves, without a cloud.

    FLAN_JAX_XPK=~/xpk FLAN_JAX_SKYPILOT=~/sky python -m pytest tests/processes/test_cloud_clients.py

Each names a virtual environment: pip install xpk==1.16.0, pip install "skypilot[gcp]==0.14.1".
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from flan_jax.cli import gin_settings
from flan_jax.sweeps.engines import skypilot
from flan_jax.sweeps.sweep_dir import PlannedRun

yaml = pytest.importorskip("yaml")
SWEEP = Path("/mnt/sweeps/loco")
RUNS = tuple(
    PlannedRun(
        index=index, id=f"{index}f3a2c11d0", evaluation="e", name=f"SEED={index}", point={"SEED": index},
        directory=f"runs/{index}f3a2c11d0", steps=4, tokens=1, flops=1.0, disk=1,
    )
    for index in (0, 1)
)  # fmt: skip
CATALOG = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone
,tpu-v5litepod-16,1,,,tpu-v5litepod-16,19.2,8.6,us-central1,us-central1-a
n1-highmem-8,,,8,52,,0.47,0.1,us-central1,us-central1-a
n1-standard-8,,,8,30,,0.38,0.08,us-central1,us-central1-a
"""
OPTIMIZE = """
import json, sys
import sky
from sky import check, global_user_state, optimizer
from sky.clouds.cloud import CloudCapability
# No credentials are looked for: the cloud is there.
global_user_state.set_allowed_clouds(check._get_workspace_allowed_clouds("default"), "default")
global_user_state.set_enabled_clouds(["gcp"], CloudCapability.COMPUTE, "default")
task = sky.Task.from_yaml(sys.argv[1])
with sky.Dag() as dag:
    dag.add(task)
optimizer.Optimizer.optimize(dag, quiet=True)
best = task.best_resources
print(json.dumps({
    "accelerators": best.accelerators, "arguments": best.accelerator_args, "spot": best.use_spot, "zone": best.zone,
    "dollars": best.get_cost(3600), "recovery": best.job_recovery["recover_on_exit_codes"], "run": task.run,
    "mounts": {path: [store.source, store.mode.value] for path, store in task.storage_mounts.items()},
}))
"""


def environment(variable, program):
    """A virtual environment's bin folder."""
    named = os.environ.get(variable)
    if named is None:
        pytest.skip(f"{variable} names no virtual environment with {program}")
    folder = Path(named).expanduser().absolute() / "bin"
    assert (folder / program).is_file(), f"{variable}={named} has no {program}"
    return folder


def test_xpk_makes_the_jobset_that_is_meant(tmp_path):
    program = environment("FLAN_JAX_XPK", "xpk") / "xpk"
    bindings = [
        f"XpkEngine.client = {str(program)!r}",
        "XpkEngine.slices = 2",
        "XpkEngine.max_restarts = 7",
    ]
    bindings += ["XpkEngine.activate = '. /env/bin/activate'"]
    engine = gin_settings.load_engine("xpk", ["engines/xpk.gin"], bindings)
    command = engine.commands(SWEEP, RUNS, None)[1]
    manifest = tmp_path / "manifest.yaml"
    dry = [
        *command.argv,
        "--dry-run",
        "--skip-validation",
        f"--output-manifest-file={manifest}",
    ]
    done = subprocess.run(
        dry, check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobset = yaml.safe_load(manifest.read_text())
    assert (
        jobset["metadata"]["name"]
        == "loco-1f3a2c11d0-0"
        == command.jobs(done.stdout)[0]
    )
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 7
    (slices,) = jobset["spec"]["replicatedJobs"]
    job = slices["template"]["spec"]
    assert (slices["replicas"], job["parallelism"]) == (2, 4)
    (rule,) = job["podFailurePolicy"]["rules"]
    # Not these: the pods of the JobSet start again.
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "NotIn")
    assert 42 in rule["onExitCodes"]["values"]
    assert not {1, 2} & set(rule["onExitCodes"]["values"])
    pod = job["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 300
    (container,) = pod["containers"]
    assert container["image"].endswith("/flan/flan_jax:1")
    run = "python launch/ablate.py run --plan=/mnt/sweeps/loco --index=1f3a2c11d0"
    assert f"(. /env/bin/activate && exec {run}) & PID=$!" in container["command"][-1]


def test_skypilot_finds_the_slice_that_is_meant(tmp_path):
    python = environment("FLAN_JAX_SKYPILOT", "python") / "python"
    engine = gin_settings.load_engine("skypilot", ["engines/skypilot.gin"], [])
    (tmp_path / skypilot.FILE).write_text(engine.files(SWEEP, RUNS)[skypilot.FILE])
    catalog = tmp_path / ".sky/catalogs/v8/gcp/vms.csv"
    catalog.parent.mkdir(parents=True)
    catalog.write_text(CATALOG)
    variables = os.environ | {
        "HOME": str(tmp_path),
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
    }
    done = subprocess.run(
        [python, "-c", OPTIMIZE, tmp_path / skypilot.FILE],
        check=False,
        capture_output=True,
        text=True,
        env=variables,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("run").endswith(
        "--plan=/mnt/sweeps/loco --index=${runs[$SKYPILOT_JOB_RANK]}\n"
    )
    assert found == {
        "accelerators": {"tpu-v5litepod-16": 1},
        "arguments": {"runtime_version": "v2-alpha-tpuv5-lite"},
        "spot": True,
        "zone": "us-central1-a",
        "dollars": 8.6,
        "recovery": [42],
        "mounts": {"/mnt/sweeps": ["gs://my-bucket", "MOUNT"]},
    }
