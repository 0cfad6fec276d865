"""Settings from gin files, and what a module outside the project adds to them."""

import sys

import pytest

from flan_jax.cli import ablate, gin_settings, program
from flan_jax.errors import InputError, add_to_registry, check_at_least, look_up

MODULE = """
import dataclasses
from pathlib import Path
from typing import ClassVar

from flan_jax.cli.gin_settings import register_configurable
from flan_jax.models.layers import Dense
from flan_jax.sweeps.engines import register_engine
from flan_jax.sweeps.queue import Command


@register_configurable
class DoubledDense(Dense):
    def weight(self):
        return 2 * super().weight()


@register_engine
@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyEngine:
    queue: str
    client: str = "true"

    name: ClassVar[str] = "toy"
    install: ClassVar[str] = "it comes with the system"
    orders: ClassVar[bool] = True

    def check(self, sweep_dir):
        pass

    def files(self, sweep_dir, runs):
        return {"toy.txt": self.queue}

    def commands(self, sweep_dir, runs, after):
        return [Command(["true", self.queue, run.id], [run], lambda answer: ["1"]) for run in runs]

    def queued(self):
        return set()
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    """A gin file of a user's that imports a module of the user's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_module.py").write_text(MODULE)
    (tmp_path / "mine.gin").write_text(
        "include 'flan_mixture.gin'\n"
        "import users_module\n"
        "EncoderDecoderConfig.dense = @DoubledDense\n"
        "ToyEngine.queue = 'short'\n"
    )
    yield str(tmp_path / "mine.gin")
    sys.modules.pop("users_module", None)
    for name in ("DoubledDense", "ToyEngine"):
        gin_settings.CONFIGURABLES.pop(name, None)
    gin_settings.ENGINES.pop("toy", None)


def test_a_users_module_adds_an_engine_and_a_layer(users_module, tmp_path, capsys):
    settings = gin_settings.load_settings([users_module], [])
    assert settings.model.dense.__name__ == "DoubledDense"

    engine = gin_settings.load_engine("toy", [users_module], [])
    assert engine.queue == "short"
    assert gin_settings.load_engine("toy", [users_module], ["ToyEngine.queue = 'long'"]).queue == (
        "long"
    )

    flags = [
        f"--gin_file={users_module}", "--gin.AblationConfig.axes={'HELD_OUT': ['nli']}",
        "--engine=toy", "--dry_run", f"--sweep_dir={tmp_path / 'sweep'}",
    ]  # fmt: skip
    assert program.exit_code(ablate.main, flags) == 0
    assert "true short " in capsys.readouterr().out


def test_two_configurables_of_one_name_are_refused():
    def Settings():
        pass

    with pytest.raises(InputError, match="two configurables are named 'Settings'"):
        gin_settings.register_configurable(Settings)


def test_registries():
    registry = {"adafactor": 1}
    assert add_to_registry(registry, "optimizer", "sgd", 2) == 2
    assert add_to_registry(registry, "optimizer", "sgd", 2) == 2
    with pytest.raises(InputError, match="two optimizers are named 'sgd'.*choose another name"):
        add_to_registry(registry, "optimizer", "sgd", 3)
    assert look_up(registry, "optimizer", "sgd") == 2
    with pytest.raises(InputError, match="unknown optimizer 'sdg'. Did you mean 'sgd'"):
        look_up(registry, "optimizer", "sdg")


def test_range_checks():
    settings = type("TrainConfig", (), {"steps": 0, "every": None})()
    check_at_least(settings, every=1)
    with pytest.raises(InputError, match="TrainConfig.steps is 0; it must be at least 1"):
        check_at_least(settings, every=1, steps=1)
