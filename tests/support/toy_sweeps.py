"""A plan of a few runs, and its submission to a queue whose client is a script."""

import dataclasses
import json

from flan_jax.cli import gin_settings
from flan_jax.sweeps.engines.slurm import SlurmEngine
from flan_jax.sweeps.queue import submit
from flan_jax.sweeps.sweep_dir import (
    Plan,
    PlannedRun,
    Status,
    make_folders,
    now,
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
    planned(i, f"{letter}{letter}", f"HELD_OUT={letter}")
    for i, letter in enumerate("abcd")
)


BASE = planned(None, "base0", "base")


PLAN = Plan({}, RUNS, {})


WITH_BASE = Plan({}, RUNS, {}, BASE)


def engine(name, *bindings):
    return gin_settings.load_engine(name, [f"engines/{name}.gin"], bindings)


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


def write(sweep_dir, plan):
    make_folders(sweep_dir)
    write_plan(plan, sweep_dir, GIN_FILES)
