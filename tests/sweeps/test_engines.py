"""What the engines of queues submit, and when: with clients that only write down how they were called."""

import collections
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_directory import write_sweep

from flan_jax.cli import ablate, gin_settings, program
from flan_jax.errors import InputError
from flan_jax.sweeps import queue, run_sweep
from flan_jax.sweeps.engines import skypilot, slurm, xpk
from flan_jax.sweeps.engines.slurm import SlurmEngine
from flan_jax.sweeps.plan import AblationConfig, make_plan
from flan_jax.sweeps.queue import describe_submission, last_jobs, submit
from flan_jax.sweeps.sweep_dir import (
    Plan,
    PlannedRun,
    Status,
    make_folders,
    now,
    read_plan,
    status_file,
    write_plan,
)

GIN_FILES = ["small.gin"]


def planned(index, id, name):
    more = {
        "evaluation": "e",
        "point": {},
        "directory": f"runs/{id}",
        "steps": 4,
        "tokens": 1,
        "flops": 1.0,
        "disk": 1,
    }
    return PlannedRun(index=index, id=id, name=name, **more)


RUNS = tuple(
    planned(i, f"{letter}{letter}", f"HELD_OUT={letter}") for i, letter in enumerate("abcd")
)
BASE = planned(None, "base0", "base")
PLAN = Plan({}, RUNS, {})
WITH_BASE = Plan({}, RUNS, {}, BASE)


def engine(name, *bindings):
    return gin_settings.load_engine(name, [f"engines/{name}.gin"], bindings)


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """clients(name, output, code=0): a program that prints that; clients.calls(): how any of them were called."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    log.touch()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def client(name, output="", code=0):
        # $n is the number of the call.
        text = f'#!/bin/sh\necho {name} "$@" >> {log}\nn=$(wc -l < {log})\ncat <<EOF\n{output}\nEOF\nexit {code}\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    client.calls = lambda: log.read_text().splitlines()
    return client


@pytest.fixture
def cluster(clients, tmp_path):
    """A Slurm whose queue is empty, and a sweep's directory."""
    clients("sbatch", "10$n")
    clients("squeue")
    return tmp_path / "sweep"


def end(sweep_dir, run, state):
    """Leaves behind what a run that ended does."""
    fields = {
        "evaluation": run.evaluation,
        "pid": 1,
        "host": "node1",
        "started": now(),
        "attempts": 1,
    }
    status = Status(state=state, **fields)
    status_file(sweep_dir, run).write_text(json.dumps(dataclasses.asdict(status)))
    if state == "finished":
        (sweep_dir / run.directory).mkdir(parents=True)
        (sweep_dir / run.directory / "result.json").write_text("{}")


def go(sweep_dir, plan=PLAN, by=None):
    return list(submit(sweep_dir, plan, by or SlurmEngine(), GIN_FILES))


# ---- what is submitted, and what is not


def test_everything_is_one_array_after_the_base_model(cluster, clients):
    assert "5 to submit to slurm, 0 in its queue already" in go(cluster, WITH_BASE)
    base, array = clients.calls()
    assert "--array" not in base
    assert "--dependency=afterok:101 --kill-on-invalid-dep=yes" in array
    assert "--array=0-3 " in array
    assert last_jobs(cluster) == {
        "base0": "101",
        "aa": "102_0",
        "bb": "102_1",
        "cc": "102_2",
        "dd": "102_3",
    }
    assert read_plan(cluster).runs == RUNS


def test_what_is_in_the_queue_is_not_submitted_again(cluster, clients):
    go(cluster, WITH_BASE)
    clients("squeue", "101\n102_0\n102_1\n102_2\n102_3")
    assert "0 to submit to slurm, 5 in its queue already" in go(cluster, WITH_BASE)
    assert [call.split()[0] for call in clients.calls()] == ["sbatch", "sbatch", "squeue"]


def test_what_failed_or_was_lost_is_submitted_again(cluster, clients):
    go(cluster)
    end(cluster, RUNS[0], "finished")
    end(cluster, RUNS[1], "failed")
    end(
        cluster, RUNS[3], "running"
    )  # says its file: the job was killed without a word, and is not in the queue
    clients("squeue", "101_2")
    go(cluster)
    assert "--array=1,3 " in clients.calls()[-1]
    assert last_jobs(cluster) == {"aa": "101_0", "bb": "103_1", "cc": "101_2", "dd": "103_3"}


def test_runs_wait_for_a_base_model_that_is_in_the_queue(cluster, clients):
    go(cluster, dataclasses.replace(WITH_BASE, runs=RUNS[:1]))
    clients("squeue", "101\n102_0")
    go(cluster, WITH_BASE)
    assert "--array=1-3 --dependency=afterok:101 " in clients.calls()[-1]


def test_a_job_finds_its_run_by_its_id_when_the_plan_has_changed(cluster):
    write(cluster, PLAN)
    assert run_sweep.planned(cluster, "cc") == run_sweep.planned(cluster, "2") == RUNS[2]
    write(
        cluster, Plan({}, tuple(dataclasses.replace(r, index=3 - r.index) for r in RUNS[::-1]), {})
    )
    assert run_sweep.planned(cluster, "cc").id == "cc"
    with pytest.raises(InputError, match="indices 0 to 3, and no run of that id"):
        run_sweep.planned(cluster, "zz")


def write(sweep_dir, plan):
    make_folders(sweep_dir)
    write_plan(plan, sweep_dir, GIN_FILES)


def test_a_queue_without_an_order_of_jobs_gets_the_base_model_first(tmp_path, clients):
    clients("sky", "Managed Job ID: 7")
    by = engine("skypilot", f"SkyPilotEngine.mount = '{tmp_path}'")
    lines = go(tmp_path / "sweep", WITH_BASE, by)
    assert any("again when --status says that the base is finished" in line for line in lines)
    assert last_jobs(tmp_path / "sweep") == {"base0": "7"}
    clients("sky", "[]")
    end(tmp_path / "sweep", BASE, "finished")
    clients("sky", "Jobs submitted with IDs: 8-9,11-12.")
    go(tmp_path / "sweep", WITH_BASE, by)
    assert last_jobs(tmp_path / "sweep") == {
        "base0": "7",
        "aa": "8",
        "bb": "9",
        "cc": "11",
        "dd": "12",
    }


def test_a_dry_run_writes_and_submits_nothing(cluster, clients):
    text = "\n".join(describe_submission(cluster, WITH_BASE, SlurmEngine()))
    assert "--dependency=afterok:BASE_JOB" in text
    assert clients.calls() == []
    assert not cluster.exists()


# ---- refusals, before anything is submitted


def test_a_client_that_is_not_there_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("slurm", "skypilot", "xpk"):
        with pytest.raises(InputError, match="not installed here.*(login node|pip install)"):
            go(tmp_path / "sweep", by=engine(name))
    assert not (tmp_path / "sweep").exists()


def test_what_a_client_refuses_is_said_in_its_own_words(cluster, clients):
    clients("sbatch", "sbatch: error: invalid partition specified: gpu", 1)
    with pytest.raises(
        InputError, match="exit code 1:\nsbatch: error: invalid partition specified: gpu"
    ):
        go(cluster)
    assert last_jobs(cluster) == {}


def test_what_was_submitted_before_a_refusal_is_known(tmp_path, clients):
    by, where = engine("xpk", f"XpkEngine.mount = '{tmp_path}'"), tmp_path / "sweep"
    clients("xpk", "")
    (tmp_path / "bin/xpk").write_text(
        (tmp_path / "bin/xpk").read_text().replace("exit 0", "exit $(($n > 2))")
    )
    with pytest.raises(InputError, match="exit code 1"):
        go(where, by=by)
    assert last_jobs(where) == {"aa": "sweep-aa-0", "bb": "sweep-bb-0"}


@pytest.mark.parametrize("killed", [False, True])
def test_a_submission_of_which_nobody_knows_is_not_repeated(cluster, clients, killed):
    """The client failed in a way that leaves open whether the queue took the jobs, or we were killed before its answer."""
    clients("sbatch", "sbatch: error: Socket timed out on send/recv operation", 1)
    if not killed:
        with pytest.raises(InputError, match="timed out"):
            go(cluster)
    else:
        (cluster.parent / "bin/sbatch").write_text(
            f"#!/bin/sh\necho sbatch >> {cluster.parent}/calls\nkill -9 $PPID\n"
        )
        code = "import sys; sys.path[:0] = sys.argv[1:4]; import test_engines as t; t.go(t.Path(sys.argv[4]))"
        where = [
            str(Path(__file__).parent),
            str(Path(__file__).parents[1] / "support"),
            str(Path(__file__).parents[2]),
            str(cluster),
        ]
        assert subprocess.run([sys.executable, "-c", code, *where], check=False).returncode == -9
    calls = clients.calls()
    for _ in range(2):
        with pytest.raises(
            InputError, match="was cut short, and nobody knows .*delete the lines with"
        ):
            go(cluster)
    assert clients.calls() == calls
    (cluster / "submitted.jsonl").write_text("")
    clients("sbatch", "10$n")
    go(cluster)
    assert set(last_jobs(cluster)) == {"aa", "bb", "cc", "dd"}


def test_a_queue_that_cannot_be_asked_gets_nothing(cluster, clients):
    go(cluster)
    clients("squeue", "slurm_load_jobs error: Unable to contact slurm controller", 1)
    with pytest.raises(InputError, match="Unable to contact"):
        go(cluster)
    assert sum(call.startswith("sbatch") for call in clients.calls()) == 1


@pytest.mark.parametrize("file", ["plan.json", "runs.jsonl"])
def test_an_edited_plan_is_refused_by_everybody(cluster, clients, file):
    write(cluster, PLAN)
    text = (cluster / file).read_text()
    (cluster / file).write_text(text.replace("small", "large").replace('"steps": 4', '"steps": 5'))
    with pytest.raises(InputError, match="were edited.*delete runs.jsonl"):
        go(cluster)
    with pytest.raises(InputError, match="were edited"):
        read_plan(cluster)
    assert clients.calls() == []
    (cluster / "runs.jsonl").unlink()
    go(cluster)
    assert read_plan(cluster).runs == RUNS


def test_runs_that_another_engine_may_still_start_are_refused(cluster):
    go(cluster)
    for name in ("local", "xpk"):
        with pytest.raises(
            InputError, match=r"submitted to slurm \(jobs 101_0, .*delete .*submitted.jsonl"
        ):
            queue.check_engine(cluster, PLAN, name)
    for run in RUNS:
        end(cluster, run, "finished")
    queue.check_engine(cluster, PLAN, "local")


def test_a_sweep_outside_the_bucket_is_refused(tmp_path, clients):
    for name in ("skypilot", "xpk"):
        clients(engine(name).client)
        with pytest.raises(InputError, match="--sweep_dir=/mnt/sweeps/sweep"):
            go(tmp_path / "sweep", by=engine(name))


@pytest.mark.parametrize(
    ("name", "bindings", "message"),
    [
        ("slrum", [], "unknown engine 'slrum'. Did you mean 'slurm'. Known: local, skypilot, slurm, xpk"),
        ("xpk", ["XpkEngine.zone = 'z'"], "XpkEngine.cluster, .* has no value; write --gin.XpkEngine.cluster=value"),
        ("slurm", ["SlurmEngine.partitoin = 'gpu'"], "Did you mean 'partition'"),
        ("slurm", ["SlurmEngine.nodes = 'two'"], "must be int"),
        ("slurm", ["SlurmEngine.nodes = 0"], "at least 1"),
        ("slurm", ["SlurmEngine.options = '--exclusive'"], "must be Sequence"),
        ("slurm", ["SlurmEngine.container_mounts = '/home'"], "set both"),
        ("xpk", [f"XpkEngine.{name} = ''" for name in ("cluster", "project", "zone", "device_type", "image", "storage")]
            + ["XpkEngine.slices = 0"], "at least 1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(name, bindings, message):
    with pytest.raises(InputError, match=message):
        gin_settings.load_engine(name, [], bindings)


def test_settings_of_this_machine_are_refused_for_a_queue(capsys):
    flags = [
        "--gin_file=leave_one_cluster_out.gin",
        "--engine=slurm",
        "--dry_run",
        "--gin.AblationConfig.base=None",
    ]
    assert (
        program.exit_code(
            ablate.main, [*flags, "--slots=2", "--gin.AblationConfig.axes={'HELD_OUT': ['nli']}"]
        )
        == 2
    )
    assert "--slots and --devices are for this machine" in capsys.readouterr().err


def test_an_engines_settings_are_no_part_of_a_runs_identity(tmp_path):
    config = AblationConfig(axes={"HELD_OUT": ["nli"]})
    files = ["flan_mixture.gin", "engines/slurm.gin"]
    with_engine, without = (
        make_plan(config, given, more, resolve=gin_settings.resolve, sweep_dir=tmp_path).runs
        for given, more in ((files, ["SlurmEngine.nodes = 2"]), (files[:1], []))
    )
    assert with_engine == without


def test_a_report_is_made_of_the_files_at_any_time(tmp_path, capsys):
    write_sweep(
        tmp_path / "sweep", axes={"HELD_OUT": ["nli"], "SEED": [0, 1]}, states={1: "waiting"}
    )
    assert program.exit_code(ablate.main, ["--report", f"--sweep_dir={tmp_path / 'sweep'}"]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert "1 finished, 1 waiting" in (tmp_path / "sweep/report.md").read_text()


# ---- what the engines write


def test_the_script_for_slurm():
    by = SlurmEngine(
        partition="gpu", nodes=2, processes_per_node=4, gpus_per_node=4, cpus_per_process=8, time="4:00:00", at_once=3,
        activate="module load cuda\n. '/my env/bin/activate'", options=("--exclusive",),
    )  # fmt: skip
    (script,) = by.files(Path("/sweeps/loco"), [BASE, *RUNS[:2]]).values()
    assert (
        script
        == f"""#!/bin/bash
#SBATCH --job-name=loco
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=8
#SBATCH --time=4:00:00
#SBATCH --signal=TERM@300
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append

# The run of each job of the array.
declare -A runs=(
  [base]=base0  # base
  [0]=aa  # HELD_OUT=a
  [1]=bb  # HELD_OUT=b
)
run=${{runs[${{SLURM_ARRAY_TASK_ID:-base}}]}}
exec >> /sweeps/loco/logs/$run.log 2>&1
cd {queue.ROOT}
srun --kill-on-bad-exit=1 --cpus-per-task=8 bash -ec 'module load cuda
. '"'"'/my env/bin/activate'"'"'
exec python launch/ablate.py run --plan=/sweeps/loco --index=$1' run "$run"
code=$?
# The run was saved before the time limit: the job goes back into the queue to continue it.
[ $code -eq 42 ] && exec scontrol requeue "$SLURM_JOB_ID"
exit $code
"""
    )
    (command,) = by.commands(Path("/sweeps/loco"), [RUNS[0], *RUNS[2:]], None)
    assert command.argv == [
        "sbatch", "--parsable", "--output=/sweeps/loco/logs/slurm-%a.log", "--array=0,2-3%3", "/sweeps/loco/slurm.sh",
    ]  # fmt: skip
    assert command.jobs("77;cluster\n") == ["77_0", "77_2", "77_3"]


@pytest.mark.parametrize(("code", "after"), [(0, []), (1, []), (42, ["scontrol requeue 77"])])
def test_the_script_for_slurm_puts_a_saved_run_back_into_the_queue(
    tmp_path, clients, monkeypatch, code, after
):
    sweep_dir = tmp_path / "a sweep"
    (sweep_dir / "logs").mkdir(parents=True)
    clients("python", "trained", code)
    clients("scontrol")
    (tmp_path / "bin/srun").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "bin/srun").chmod(0o755)
    script = SlurmEngine(activate="set -e").files(sweep_dir, RUNS)[slurm.FILE]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    done = subprocess.run(["bash", "-c", script], check=False)
    assert done.returncode == (0 if after else code)
    assert clients.calls() == [f"python launch/ablate.py run --plan={sweep_dir} --index=cc", *after]
    assert (sweep_dir / "logs/cc.log").read_text().startswith("trained\n")


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
    in_pool = engine("skypilot", "SkyPilotEngine.pool = 'flan'", "SkyPilotEngine.workers = 3")
    job, pool = (
        yaml.safe_load(text) for text in in_pool.files(Path("/mnt/sweeps/loco"), RUNS[:2]).values()
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
    assert command.jobs("...\n\x1b[0mJobs submitted with IDs: \x1b[36m3,5-6\x1b[0m.\n") == [
        "3",
        "5",
        "6",
    ]
    with pytest.raises(InputError, match="does not say which 3 jobs"):
        command.jobs("Jobs submitted with IDs: 3-4.")


def test_jobs_of_skypilot_that_have_not_ended(clients):
    clients(
        "sky",
        json.dumps([{"job_id": 7, "status": "RUNNING"}, {"job_id": 9, "status": "RECOVERING"}]),
    )
    assert engine("skypilot").queued() == {"7", "9"}
    assert clients.calls() == ["sky jobs queue --skip-finished --all --output=json"]


def test_the_workload_for_xpk():
    by = engine("xpk", "XpkEngine.slices = 2", "XpkEngine.activate = '. /env/bin/activate'")
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
        "\n".join(["[XPK] Workload List Output:", header, *lines, "[XPK] Exiting XPK cleanly"]),
    )
    assert engine("xpk").queued() - {"Jobset Name"} == {"runs", "waits", "new"}


def test_the_example_files_of_the_engines_name_every_setting():
    for name, kind in gin_settings.ENGINES.items():
        text = (gin_settings.GIN_FOLDER / f"engines/{name}.gin").read_text()
        named = collections.Counter(
            line.lstrip("# ").partition(" = ")[0] for line in text.splitlines() if " = " in line
        )
        assert named == collections.Counter(
            f"{kind.__name__}.{field.name}" for field in dataclasses.fields(kind)
        )
