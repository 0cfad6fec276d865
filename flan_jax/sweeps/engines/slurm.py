"""The runs of a sweep as an array of jobs under Slurm: one sbatch script, plain enough to be read and changed."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from flan_jax.errors import SAVED, InputError
from flan_jax.sweeps.queue import ROOT, Command, call, register_engine, run_command
from flan_jax.sweeps.sweep_dir import BASE, PlannedRun

FILE = "slurm.sh"
SCRIPT = """#!/bin/bash
{options}
#SBATCH --requeue
#SBATCH --open-mode=append

# The run of each job of the array.
declare -A runs=(
{runs}
)
run=${{runs[${{SLURM_ARRAY_TASK_ID:-{base}}}]}}
exec >> {logs}/$run.log 2>&1
cd {root}
{srun} bash -ec {process} run "$run"
code=$?
# Saved, before the time limit: back into the queue, to go on from there.
[ $code -eq {saved} ] && exec scontrol requeue "$SLURM_JOB_ID"
exit $code
"""


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class SlurmEngine:
    """What a run asks Slurm for; None is the cluster's default. Code and sweep lie on a file system that all nodes share.

    nodes: of a run, with processes_per_node of its processes each. memory: of a node, as Slurm writes it ("64G").
    time: limit of a job ("4:00:00"); grace_seconds before it the run saves and goes back into the queue. at_once: runs side
    by side at most. activate: shell commands before each process, such as modules and environments to load.
    container_image, container_mounts: for clusters with pyxis. options: more options of sbatch, such as "--exclusive".
    """

    partition: str | None = None
    account: str | None = None
    nodes: int = 1
    processes_per_node: int = 1
    gpus_per_node: int = 0
    cpus_per_process: int | None = None
    memory: str | None = None
    time: str | None = None
    grace_seconds: int = 300
    at_once: int | None = None
    activate: str = ""
    container_image: str | None = None
    container_mounts: str | None = None
    options: Sequence[str] = ()

    name: ClassVar[str] = "slurm"
    client: ClassVar[str] = "sbatch"
    install: ClassVar[str] = "work on a login node of the cluster (Debian has it in slurm-client)"
    orders: ClassVar[bool] = True

    def __post_init__(self):
        for name in ("nodes", "processes_per_node", "cpus_per_process", "at_once", "grace_seconds"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"SlurmEngine.{name} is {value}; it must be at least 1")
        if self.container_mounts and not self.container_image:
            raise InputError(
                "SlurmEngine.container_mounts is set and container_image is not; set both or neither"
            )

    def check(self, sweep_dir: Path) -> None:
        """Nothing to check: what a cluster does not have, sbatch refuses."""

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """The script of all jobs."""
        here = {
            "job-name": sweep_dir.name,
            "partition": self.partition,
            "account": self.account,
            "nodes": self.nodes,
            "ntasks-per-node": self.processes_per_node,
            "gres": f"gpu:{self.gpus_per_node}" if self.gpus_per_node else None,
            "cpus-per-task": self.cpus_per_process,
            "mem": self.memory,
            "time": self.time,
            "signal": f"TERM@{self.grace_seconds}",  # to the run's processes, not to the script
        }
        process = {
            "kill-on-bad-exit": 1,
            "cpus-per-task": self.cpus_per_process,  # srun does not take it from the job
            "container-image": self.container_image,
            "container-mounts": self.container_mounts,
        }
        script = SCRIPT.format(
            options="\n".join(f"#SBATCH {option}" for option in (*_options(here), *self.options)),
            runs="\n".join(
                f"  [{BASE if run.index is None else run.index}]={run.id}  # {run.name}"
                for run in runs
            ),
            base=BASE,
            logs=shlex.quote(str(sweep_dir / "logs")),
            root=shlex.quote(str(ROOT)),
            srun=" ".join(["srun", *_options(process)]),
            process=shlex.quote(
                f"{self.activate.strip()}\nexec {run_command(sweep_dir)}$1".strip()
            ),
            saved=SAVED,
        )
        return {FILE: script} if runs else {}

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> list[Command]:
        """One array, or the job of the base model."""
        indices = [run.index for run in runs if run.index is not None]
        argv = [
            "sbatch",
            "--parsable",
            f"--output={sweep_dir / 'logs'}/slurm-{'%a' if indices else BASE}.log",
        ]
        if indices:
            argv.append(
                f"--array={_ranges(indices)}" + (f"%{self.at_once}" if self.at_once else "")
            )
        if after is not None:
            argv += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]

        def jobs(answer: str) -> list[str]:
            job = answer.split()[-1].partition(";")[
                0
            ]  # JOB;CLUSTER, where there are several clusters
            return [f"{job}_{index}" for index in indices] or [job]

        return [Command([*argv, str(sweep_dir / FILE)], runs, jobs)]

    def queued(self) -> set[str]:
        """Of this user."""
        return set(
            call(["squeue", "--me", "--noheader", "--array", "--format=%i"], self.install).split()
        )


def _options(values: Mapping[str, str | int | None]) -> list[str]:
    return [
        f"--{name}={shlex.quote(str(value))}" for name, value in values.items() if value is not None
    ]


def _ranges(indices: Sequence[int]) -> str:
    """Indices as Slurm writes them.

    >>> _ranges([0, 3, 4, 5, 9])
    '0,3-5,9'
    """
    groups: list[list[int]] = []
    for index in indices:
        if groups and index == groups[-1][-1] + 1:
            groups[-1].append(index)
        else:
            groups.append([index])
    return ",".join(
        str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups
    )
