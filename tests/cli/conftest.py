"""Fixtures of the programs: a small run's gin file, and what a refused command prints."""

import dataclasses
import signal

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import tasks  # noqa: F401 (registers)
from flan_jax.cli import arguments, gin_settings, program  # fmt: skip
from flan_jax.data import config as data_config
from flan_jax.tasks import mixtures
from flan_jax.tasks import task as registry

RUN = """\
include 'train.gin'
import tasks
MODEL = @EncoderDecoderConfig()
EncoderDecoderConfig.vocab_size = 4096
EncoderDecoderConfig.emb_dim = 16
EncoderDecoderConfig.num_heads = 2
EncoderDecoderConfig.head_dim = 8
EncoderDecoderConfig.mlp_dim = 16
EncoderDecoderConfig.num_encoder_layers = 1
EncoderDecoderConfig.num_decoder_layers = 1
DataConfig.workers = 0
DataConfig.examples_per_dataset = 20
DataConfig.eval_examples = 4
MIXTURE = 'rte'
SOURCE = 'sandbox'
TOKENIZER = 'practice'
LENGTHS = {'inputs': 64, 'targets': 16}
BATCH_SIZE = 8
STEPS = 3
LEARNING_RATE = 1e-3
"""


@pytest.fixture(autouse=True)
def left_as_found(tmp_path, monkeypatch):
    """A program may set these for its process; the other tests want theirs back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    compiled, handler = (
        jax.config.jax_compilation_cache_dir,
        signal.getsignal(signal.SIGTERM),
    )
    yield
    jax.config.update("jax_compilation_cache_dir", compiled)
    compilation_cache.reset_cache()  # jax looks at the setting once
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def gin_file(tmp_path):
    (tmp_path / "small.gin").write_text(RUN)
    return f"--gin_file={tmp_path / 'small.gin'}"


@pytest.fixture
def refused(capsys):
    """refused(main, *flags): the program's error, which ends with code 2.

    It has no traceback, and a few lines.
    """

    def error(main, *flags):
        code = program.exit_code(main, flags)
        output = capsys.readouterr().err
        assert code == 2, output
        assert "Traceback" not in output
        _, found, message = output.partition("error: ")
        assert (
            found
            and "error: " not in message
            and "\n\n" not in message
            and len(message.splitlines()) <= 5
        ), output
        assert "In call to configurable" not in message
        return message.strip()

    return error


@pytest.fixture
def settings_of(gin_file):
    """settings_of(*flags): (settings, configuration as text) that a program reads."""

    def read(*command_line):
        parser = arguments.settings_parser("toy.py", "Read settings.")
        flags, bindings = arguments.parse(parser, [gin_file, *command_line])
        return gin_settings.resolve(flags.gin_file, bindings)

    return read


@pytest.fixture
def blind(tmp_path, monkeypatch):
    """Tasks that cannot be evaluated, in clusters of their own; a folder that passes for a checkpoint."""
    monkeypatch.setattr(registry, "TASKS", dict(registry.TASKS))
    monkeypatch.setattr(mixtures, "TASKS", registry.TASKS)
    monkeypatch.setattr(data_config, "TASKS", registry.TASKS)
    monkeypatch.setattr(mixtures, "MIXTURES", dict(mixtures.MIXTURES))
    rte = registry.get_task("rte")
    around = tuple(template for template in rte.templates if template.turned_around)
    source = dataclasses.replace(rte.source, test=None)
    registry.register(
        dataclasses.replace(
            rte, name="untested", cluster="dark", dataset="", source=source
        )
    )
    registry.register(
        dataclasses.replace(
            rte, name="around", cluster="turned", dataset="", templates=around
        )
    )
    mixtures.register_mixture(
        mixtures.Mixture("dim", ("untested", "around", "wnli", "sst2"))
    )
    (tmp_path / "run" / "checkpoints" / "3" / "params").mkdir(parents=True)
    return f"--gin.WARM_START={tmp_path / 'run'}"


@pytest.fixture
def leaking(tmp_path, monkeypatch):
    """A mixture that trains on the rows of a held-out task, under another name in another cluster."""
    monkeypatch.setattr(registry, "TASKS", dict(registry.TASKS))
    monkeypatch.setattr(mixtures, "TASKS", registry.TASKS)
    monkeypatch.setattr(mixtures, "MIXTURES", dict(mixtures.MIXTURES))
    registry.register(
        dataclasses.replace(
            registry.get_task("rte"), name="rte_again", cluster="disguise"
        )
    )
    mixtures.register_mixture(mixtures.Mixture("leaking", ("rte", "rte_again", "sst2")))
