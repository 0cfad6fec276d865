"""Slurm: the runs of a sweep as an array of jobs of one sbatch script that a person can read."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from flan_jax.errors import SAVED, InputError, check_at_least
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
# The run was saved before the time limit: the job goes back into the queue to continue it.
[ $code -eq {saved} ] && exec scontrol requeue "$SLURM_JOB_ID"
exit $code
"""


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class SlurmEngine:
    """What a run asks Slurm for. None is the cluster's default.

    Code and sweep must lie on a file system that all nodes share.

    Attributes:
      partition: the partition.
      account: the account that is billed.
      nodes: nodes of a run.
      processes_per_node: processes of a run on each node.
      gpus_per_node: GPUs of a run on each node.
      cpus_per_process: processor cores of each process.
      memory: memory of a node, as Slurm writes it: "64G".
      time: the time limit of a job: "4:00:00".
      grace_seconds: so long before the time limit a run saves and goes back into the queue.
      at_once: the most runs to do side by side.
      activate: shell commands before each process, such as modules and environments to load.
      container_image: a container image, for clusters with pyxis.
      container_mounts: its mounts.
      options: more options of sbatch, such as "--exclusive".
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
    install: ClassVar[str] = (
        "work on a login node of the cluster (Debian has it in slurm-client)"
    )
    orders: ClassVar[bool] = True

    def __post_init__(self):
        check_at_least(
            self,
            nodes=1,
            processes_per_node=1,
            cpus_per_process=1,
            at_once=1,
            grace_seconds=1,
        )
        if self.container_mounts and not self.container_image:
            raise InputError(
                "SlurmEngine.container_mounts is set and container_image is not; set both or "
                "neither"
            )

    def check(self, sweep_dir: Path) -> None:
        """Checks nothing: sbatch refuses what the cluster does not have."""

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """Returns the batch script that all jobs run.

        Args:
          sweep_dir: the sweep directory.
          runs: the runs to submit.

        Returns:
          {file name in the sweep directory: text}; empty if there are no runs.
        """
        if not runs:
            return {}
        job_options = {
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
        process_options = {
            "kill-on-bad-exit": 1,
            "cpus-per-task": self.cpus_per_process,  # srun does not take it from the job
            "container-image": self.container_image,
            "container-mounts": self.container_mounts,
        }
        header = [
            f"#SBATCH {option}" for option in (*_options(job_options), *self.options)
        ]
        process = f"{self.activate.strip()}\nexec {run_command(sweep_dir)}$1".strip()
        script = SCRIPT.format(
            options="\n".join(header),
            runs="\n".join(f"  [{_index(run)}]={run.id}  # {run.name}" for run in runs),
            base=BASE,
            logs=shlex.quote(str(sweep_dir / "logs")),
            root=shlex.quote(str(ROOT)),
            srun=" ".join(["srun", *_options(process_options)]),
            process=shlex.quote(process),
            saved=SAVED,
        )
        return {FILE: script}

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> list[Command]:
        """Returns one command: an array of jobs, or the job of the base model.

        Args:
          sweep_dir: the sweep directory.
          runs: the runs to submit: either runs with an index, or the base model.
          after: the job that must succeed first; None for none.

        Returns:
          The sbatch command.
        """
        indices = [run.index for run in runs if run.index is not None]
        log_name = "%a" if indices else BASE
        argv = [
            "sbatch",
            "--parsable",
            f"--output={sweep_dir / 'logs'}/slurm-{log_name}.log",
        ]
        if indices:
            limit = f"%{self.at_once}" if self.at_once else ""
            argv.append(f"--array={_ranges(indices)}{limit}")
        if after is not None:
            argv += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]
        argv.append(str(sweep_dir / FILE))

        def jobs(answer: str) -> list[str]:
            # JOB, or JOB;CLUSTER where there are several clusters.
            job = answer.rsplit(maxsplit=1)[-1].partition(";")[0]
            if not indices:
                return [job]
            return [f"{job}_{index}" for index in indices]

        return [Command(argv, runs, jobs)]

    def queued(self) -> set[str]:
        """Returns the jobs of this user."""
        command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
        return set(call(command, self.install).split())


def _index(run: PlannedRun) -> int | str:
    return BASE if run.index is None else run.index


def _options(values: Mapping[str, str | int | None]) -> list[str]:
    """Returns command-line options; those without a value are left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return [f"--{name}={shlex.quote(str(value))}" for name, value in given.items()]


def _ranges(indices: Sequence[int]) -> str:
    """Returns indices as Slurm writes them.

    >>> _ranges([0, 3, 4, 5, 9])
    '0,3-5,9'
    """
    groups: list[list[int]] = []
    for index in indices:
        if groups and index == groups[-1][-1] + 1:
            groups[-1].append(index)
        else:
            groups.append([index])
    texts = []
    for group in groups:
        first, last = group[0], group[-1]
        texts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(texts)
