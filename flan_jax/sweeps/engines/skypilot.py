"""The runs of a sweep as SkyPilot's managed jobs: one task file, a slice for each run, recovered when spot capacity goes away."""

import dataclasses
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from flan_jax.errors import SAVED, InputError
from flan_jax.sweeps.queue import ROOT, Command, call, check_mounted, register_engine, run_command
from flan_jax.sweeps.sweep_dir import PlannedRun

FILE, POOL_FILE = "skypilot.yaml", "skypilot_pool.yaml"


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class SkyPilotEngine:
    """What a run asks SkyPilot for. Without a pool each run has a slice of its own, which ends with it.

    infra: cloud, region and zone ("gcp/us-central1/us-central1-a"). accelerators: a slice ("tpu-v5litepod-16") or GPUs.
    bucket: where the sweep is kept ("gs://name"), mounted at `mount` on every host of a run, and on this machine.
    setup: shell commands once on each host. activate: before each run. resources: more of SkyPilot's resource fields.
    pool: the name of a pool of `workers` slices, which take one run after the other: made and ended by `sky jobs pool`, it costs
    as long as it is there. client: the program, which may be in an environment of its own.
    """

    infra: str
    accelerators: str
    bucket: str
    mount: str = "/mnt/sweeps"
    spot: bool = True
    setup: str = ""
    activate: str = ""
    resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pool: str | None = None
    workers: int = 1
    client: str = "sky"

    name: ClassVar[str] = "skypilot"
    install: ClassVar[str] = (
        "python -m venv ~/sky; ~/sky/bin/pip install 'skypilot[gcp]', and --gin.SkyPilotEngine.client=$HOME/sky/bin/sky"
    )
    orders: ClassVar[bool] = False

    def check(self, sweep_dir: Path) -> None:
        """Raises InputError unless the sweep lies in the bucket."""
        check_mounted(sweep_dir, self.mount, "SkyPilotEngine.mount")

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """The task of all runs, each of which finds its own by its rank; what belongs to a pool's workers is in a file of its own."""
        if not runs:
            return {}
        resources = {
            "infra": self.infra,
            "accelerators": self.accelerators,
            "use_spot": self.spot,
            **self.resources,
        }
        worker = [f"workdir: {json.dumps(str(ROOT))}"]
        worker += _block("file_mounts", {self.mount: {"source": self.bucket, "mode": "MOUNT"}})
        worker += _script("setup", self.setup) if self.setup.strip() else []
        ids = "\n".join(f"  {run.id}  # {run.name}" for run in runs)
        run = f"{self.activate.strip()}\nexec {run_command(sweep_dir)}${{runs[$SKYPILOT_JOB_RANK]}}"
        job = [f"name: {json.dumps(sweep_dir.name)}"]
        job += _block("resources", resources | {"job_recovery": {"recover_on_exit_codes": [SAVED]}})
        job += _script("run", f"cd ~/sky_workdir\nruns=(\n{ids}\n)\n{run}")
        if self.pool is None:
            return {FILE: _text(job[:1] + worker + job[1:])}
        pool = [
            *_block("pool", {"workers": self.workers}),
            *_block("resources", resources),
            *worker,
        ]
        return {FILE: _text(job), POOL_FILE: _text(pool)}

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> list[Command]:
        """All runs at once."""
        where = [f"--pool={self.pool}"] if self.pool else []
        argv = [
            self.client,
            "jobs",
            "launch",
            "--yes",
            "--detach-run",
            *where,
            f"--num-jobs={len(runs)}",
        ]
        return [
            Command([*argv, str(sweep_dir / FILE)], runs, lambda answer: _jobs(answer, len(runs)))
        ]

    def queued(self) -> set[str]:
        """Managed jobs that have not ended."""
        answer = call(
            [self.client, "jobs", "queue", "--skip-finished", "--all", "--output=json"],
            self.install,
        )
        return {str(job["job_id"]) for job in json.loads(answer)}


def _block(name: str, values: Mapping[str, Any]) -> list[str]:
    # JSON in a line is YAML, too.
    return [f"{name}:", *(f"  {key}: {json.dumps(value)}" for key, value in values.items())]


def _script(name: str, text: str) -> list[str]:
    return [f"{name}: |", textwrap.indent(f"set -e\n{text.strip()}", "  ")]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _jobs(answer: str, count: int) -> list[str]:
    """The jobs of a launch, by rank.

    >>> _jobs("Jobs submitted with IDs: 3,5-7.", 4)
    ['3', '5', '6', '7']
    """
    plain = re.sub(r"\x1b\[[\d;]*m", "", answer)  # colours
    found = re.search(r"(?:Jobs submitted with IDs|Managed Job ID): ([\d,-]+)", plain)
    jobs: list[str] = []
    for part in found.group(1).split(",") if found else ():
        first, _, last = part.partition("-")
        jobs += map(str, range(int(first), int(last or first) + 1))
    if len(jobs) != count:
        raise InputError(
            f"sky does not say which {count} jobs it made; look with sky jobs queue. It said:\n{plain}"
        )
    return jobs
