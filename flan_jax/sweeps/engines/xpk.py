"""XPK: the runs of a sweep as workloads on TPU slices of a GKE cluster, which has its own queue."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from flan_jax.errors import check_at_least
from flan_jax.sweeps.queue import (
    Command,
    call,
    check_mounted,
    read_submitted,
    register_engine,
    run_command,
)
from flan_jax.sweeps.sweep_dir import PlannedRun

LONGEST = 40
"""The most letters of a workload's name."""
STATUS = 6
"""The column of a workload's state in XPK's table, in which no cell is empty."""


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class XpkEngine:
    """What a run asks XPK for.

    Attributes:
      cluster: the GKE cluster.
      project: its cloud project.
      zone: its zone.
      device_type: the kind of TPU slice: "v5litepod-16".
      image: a container image whose working folder holds this code, with its environment.
      storage: the bucket's name in `xpk storage attach`.
      mount: where the bucket is mounted, in the containers and on this machine.
      slices: TPU slices of a run.
      priority: the priority of the workloads.
      max_restarts: how often a run may go on after it was saved or lost its slice.
      grace_seconds: time to save when a slice is taken away.
      activate: shell commands before the run.
      options: more options of `xpk workload create`.
      client: the program, which may be in an environment of its own.
    """

    cluster: str
    project: str
    zone: str
    device_type: str
    image: str
    storage: str
    mount: str = "/mnt/sweeps"
    slices: int = 1
    priority: str = "medium"
    max_restarts: int = 50
    grace_seconds: int = 300
    activate: str = ""
    options: Sequence[str] = ()
    client: str = "xpk"

    name: ClassVar[str] = "xpk"
    install: ClassVar[str] = (
        "python -m venv ~/xpk; ~/xpk/bin/pip install xpk, and "
        "--gin.XpkEngine.client=$HOME/xpk/bin/xpk"
    )
    orders: ClassVar[bool] = False

    def __post_init__(self):
        check_at_least(self, slices=1, max_restarts=0, grace_seconds=1)

    def check(self, sweep_dir: Path) -> None:
        """Raises InputError unless the sweep lies in the bucket."""
        check_mounted(sweep_dir, self.mount, "XpkEngine.mount")

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """Returns no files: the commands say everything."""
        return {}

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> list[Command]:
        """Returns one command for each run, which creates its workload.

        Args:
          sweep_dir: the sweep directory.
          runs: the runs to submit.
          after: not used; xpk cannot make a workload wait for another.

        Returns:
          The commands.
        """
        submissions = collections.Counter(
            line["run"] for line in read_submitted(sweep_dir)
        )
        return [self._command(sweep_dir, run, submissions[run.id]) for run in runs]

    def _command(self, sweep_dir: Path, run: PlannedRun, submissions: int) -> Command:
        name = _workload_name(sweep_dir.name, run.id, submissions)
        # exec: XPK sends SIGTERM to its direct child alone.
        run_line = f"exec {run_command(sweep_dir)}{run.id}"
        options = {
            "workload": name,
            **self._cluster_options(),
            "device-type": self.device_type,
            "num-slices": self.slices,
            "priority": self.priority,
            "max-restarts": self.max_restarts,
            "termination-grace-period-seconds": self.grace_seconds,
            "docker-image": self.image,
            "storage": self.storage,
            "command": " && ".join([*self.activate.strip().splitlines(), run_line]),
        }
        argv = [self.client, "workload", "create", "--quiet"]
        argv += [f"--{key}={value}" for key, value in options.items()]
        argv += self.options
        return Command(argv, [run], lambda answer: [name])

    def queued(self) -> set[str]:
        """Returns the workloads of the cluster that have not ended."""
        options = [f"--{key}={value}" for key, value in self._cluster_options().items()]
        table = call([self.client, "workload", "list", *options], self.install)
        rows = [re.split(r"\s{2,}", line) for line in table.splitlines()]
        return {
            row[0] for row in rows if len(row) > STATUS and row[STATUS] != "Finished"
        }

    def _cluster_options(self) -> dict[str, str]:
        return {"cluster": self.cluster, "project": self.project, "zone": self.zone}


def _workload_name(sweep: str, run_id: str, submissions: int) -> str:
    """Returns a name that GKE accepts.

    GKE keeps workloads that have ended, so that each submission of a run needs a new name.
    """
    tail = f"-{run_id}-{submissions}"
    words = re.sub(r"[^a-z0-9]+", "-", sweep.lower()).strip("-")
    head = words[: LONGEST - len(tail)].strip("-")
    if not head[:1].isalpha():
        head = "sweep"
    return head + tail
