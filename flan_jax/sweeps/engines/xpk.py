"""The runs of a sweep as XPK workloads: TPU slices, several for a run if asked for, of a GKE cluster with its own queue."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from flan_jax.errors import InputError
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
"""Letters in a workload's name at most."""
STATUS = 6
"""The column of a workload's state in XPK's table; their cells are never empty."""


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class XpkEngine:
    """What a run asks XPK for.

    cluster, project, zone: of the GKE cluster. device_type: the slice ("v5litepod-16"), of which a run has `slices`.
    image: a container image whose working folder holds this code, with its environment. storage: the bucket's name in
    `xpk storage attach`, mounted at `mount` in the containers, and on this machine. max_restarts: how often a run may go on
    after being saved or losing its slice. grace_seconds: time to save when a slice is taken away. activate: shell commands
    before the run. options: more options of `xpk workload create`. client: the program, perhaps in an environment of its own.
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
        "python -m venv ~/xpk; ~/xpk/bin/pip install xpk, and --gin.XpkEngine.client=$HOME/xpk/bin/xpk"
    )
    orders: ClassVar[bool] = False

    def __post_init__(self):
        for name, least in (("slices", 1), ("max_restarts", 0), ("grace_seconds", 1)):
            if getattr(self, name) < least:
                raise InputError(
                    f"XpkEngine.{name} is {getattr(self, name)}; it must be at least {least}"
                )

    def check(self, sweep_dir: Path) -> None:
        """Raises InputError unless the sweep lies in the bucket."""
        check_mounted(sweep_dir, self.mount, "XpkEngine.mount")

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """None: all is said in the commands."""
        return {}

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> list[Command]:
        """A workload a run."""
        before = collections.Counter(line["run"] for line in read_submitted(sweep_dir))
        return [self._command(sweep_dir, run, before[run.id]) for run in runs]

    def _command(self, sweep_dir: Path, run: PlannedRun, before: int) -> Command:
        # GKE keeps workloads that have ended: each submission has a name of its own.
        tail = f"-{run.id}-{before}"
        slug = (
            re.sub(r"[^a-z0-9]+", "-", sweep_dir.name.lower())
            .strip("-")[: LONGEST - len(tail)]
            .strip("-")
        )
        name = (slug if slug[:1].isalpha() else "sweep") + tail
        asked = {
            "workload": name,
            **self._where(),
            "device-type": self.device_type,
            "num-slices": self.slices,
            "priority": self.priority,
            "max-restarts": self.max_restarts,
            "termination-grace-period-seconds": self.grace_seconds,
            "docker-image": self.image,
            "storage": self.storage,
            # exec: XPK sends SIGTERM to its direct child alone.
            "command": " && ".join(
                [*self.activate.strip().splitlines(), f"exec {run_command(sweep_dir)}{run.id}"]
            ),
        }
        argv = [
            self.client,
            "workload",
            "create",
            "--quiet",
            *(f"--{key}={value}" for key, value in asked.items()),
            *self.options,
        ]
        return Command(argv, [run], lambda answer: [name])

    def queued(self) -> set[str]:
        """Workloads of the cluster that have not ended."""
        where = [f"--{key}={value}" for key, value in self._where().items()]
        table = call([self.client, "workload", "list", *where], self.install)
        rows = [re.split(r"\s{2,}", line) for line in table.splitlines()]
        return {row[0] for row in rows if len(row) > STATUS and row[STATUS] != "Finished"}

    def _where(self) -> dict[str, str]:
        return {"cluster": self.cluster, "project": self.project, "zone": self.zone}
