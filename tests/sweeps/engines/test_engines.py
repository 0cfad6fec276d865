"""What all launch engines have in common."""

import collections
import dataclasses

import pytest
from toy_sweeps import engine, go

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.sweeps.plan import AblationConfig, make_plan


def test_a_client_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("slurm", "skypilot", "xpk"):
        with pytest.raises(
            InputError, match="not installed here.*(login node|pip install)"
        ):
            go(tmp_path / "sweep", by=engine(name))
    assert not (tmp_path / "sweep").exists()


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


def test_an_engines_settings_are_no_part_of_a_runs_identity(tmp_path):
    config = AblationConfig(axes={"HELD_OUT": ["nli"]})
    files = ["flan_mixture.gin", "engines/slurm.gin"]
    with_engine, without = (
        make_plan(
            config, given, more, resolve=gin_settings.resolve, sweep_dir=tmp_path
        ).runs
        for given, more in ((files, ["SlurmEngine.nodes = 2"]), (files[:1], []))
    )
    assert with_engine == without


def test_the_example_files_of_the_engines_name_every_setting():
    for name, kind in gin_settings.ENGINES.items():
        text = (gin_settings.GIN_FOLDER / f"engines/{name}.gin").read_text()
        named = collections.Counter(
            line.lstrip("# ").partition(" = ")[0]
            for line in text.splitlines()
            if " = " in line
        )
        assert named == collections.Counter(
            f"{kind.__name__}.{field.name}" for field in dataclasses.fields(kind)
        )
