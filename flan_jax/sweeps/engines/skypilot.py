"""SkyPilot: the runs of a sweep as managed jobs of one task file, each on a slice of its own.

SkyPilot restarts a run elsewhere when spot capacity is taken away.
"""

import dataclasses
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from flan_jax.errors import SAVED, InputError
from flan_jax.sweeps.queue import (
    ROOT,
    Command,
    call,
    check_mounted,
    register_engine,
    run_command,
)
from flan_jax.sweeps.sweep_dir import PlannedRun

FILE, POOL_FILE = "skypilot.yaml", "skypilot_pool.yaml"


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class SkyPilotEngine:
    """What a run asks SkyPilot for. Without a pool each run has a slice, which ends with it.

    Attributes:
      infra: cloud, region and zone: "gcp/us-central1/us-central1-a".
      accelerators: a TPU slice ("tpu-v5litepod-16") or GPUs.
      bucket: where the sweep is kept: "gs://name".
      mount: where the bucket is mounted, on every host of a run and on this machine.
      spot: whether to use spot capacity.
      setup: shell commands to run once on each host.
      activate: shell commands before each run.
      resources: more of SkyPilot's resource fields.
      pool: the name of a pool of slices that take one run after the other. `sky jobs pool` makes
        and ends it; it costs money as long as it exists.
      workers: the number of slices in the pool.
      client: the program, which may be in an environment of its own.
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
        "python -m venv ~/sky; ~/sky/bin/pip install 'skypilot[gcp]', and "
        "--gin.SkyPilotEngine.client=$HOME/sky/bin/sky"
    )
    orders: ClassVar[bool] = False

    def check(self, sweep_dir: Path) -> None:
        """Raises InputError unless the sweep lies in the bucket."""
        check_mounted(sweep_dir, self.mount, "SkyPilotEngine.mount")

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """Returns the task file of all runs, and that of the pool if there is one.

        Each run finds its id by the rank of its job.

        Args:
          sweep_dir: the sweep directory.
          runs: the runs to submit.

        Returns:
          {file name in the sweep directory: text}; empty if there are no runs.
        """
        if not runs:
            return {}
        name = [f"name: {json.dumps(sweep_dir.name)}"]
        resources = {
            "infra": self.infra,
            "accelerators": self.accelerators,
            "use_spot": self.spot,
            **self.resources,
        }
        recovery = {"job_recovery": {"recover_on_exit_codes": [SAVED]}}
        job_resources = _block("resources", resources | recovery)
        mounts = {self.mount: {"source": self.bucket, "mode": "MOUNT"}}
        host = [f"workdir: {json.dumps(str(ROOT))}", *_block("file_mounts", mounts)]
        if self.setup.strip():
            host += _script("setup", self.setup)

        ids = "\n".join(f"  {run.id}  # {run.name}" for run in runs)
        command = f"exec {run_command(sweep_dir)}${{runs[$SKYPILOT_JOB_RANK]}}"
        script = (
            f"cd ~/sky_workdir\nruns=(\n{ids}\n)\n{self.activate.strip()}\n{command}"
        )
        run_block = _script("run", script)
        if self.pool is None:
            return {FILE: _text([*name, *host, *job_resources, *run_block])}
        pool = [
            *_block("pool", {"workers": self.workers}),
            *_block("resources", resources),
            *host,
        ]
        return {
            FILE: _text([*name, *job_resources, *run_block]),
            POOL_FILE: _text(pool),
        }

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> list[Command]:
        """Returns one command for all runs.

        Args:
          sweep_dir: the sweep directory.
          runs: the runs to submit.
          after: not used; managed jobs cannot wait for another.

        Returns:
          The command.
        """
        argv = [self.client, "jobs", "launch", "--yes", "--detach-run"]
        if self.pool:
            argv.append(f"--pool={self.pool}")
        argv += [f"--num-jobs={len(runs)}", str(sweep_dir / FILE)]
        return [Command(argv, runs, lambda answer: _jobs(answer, len(runs)))]

    def queued(self) -> set[str]:
        """Returns the managed jobs that have not ended."""
        command = [
            self.client,
            "jobs",
            "queue",
            "--skip-finished",
            "--all",
            "--output=json",
        ]
        answer = call(command, self.install)
        return {str(job["job_id"]) for job in json.loads(answer)}


def _block(name: str, values: Mapping[str, object]) -> list[str]:
    """Returns a YAML mapping. Its values are written as JSON, which is YAML, too."""
    return [
        f"{name}:",
        *(f"  {key}: {json.dumps(value)}" for key, value in values.items()),
    ]


def _script(name: str, text: str) -> list[str]:
    """Returns a YAML block of shell commands."""
    return [f"{name}: |", textwrap.indent(f"set -e\n{text.strip()}", "  ")]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _jobs(answer: str, count: int) -> list[str]:
    """Returns the jobs of a launch, by rank.

    >>> _jobs("Jobs submitted with IDs: 3,5-7.", 4)
    ['3', '5', '6', '7']

    Raises:
      InputError: the answer does not name `count` jobs.
    """
    without_colors = re.sub(r"\x1b\[[\d;]*m", "", answer)
    pattern = r"(?:Jobs submitted with IDs|Managed Job ID): ([\d,-]+)"
    match = re.search(pattern, without_colors)
    jobs: list[str] = []
    if match is not None:
        for span in match.group(1).split(","):
            first, _, last = span.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            jobs += [str(number) for number in numbers]
    if len(jobs) != count:
        raise InputError(
            f"sky does not say which {count} jobs it made; look with sky jobs queue. It said:\n"
            f"{without_colors}"
        )
    return jobs
