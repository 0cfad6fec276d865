"""Settings from gin files, and what a module outside the project adds to them."""

import sys

import pytest

from flan_jax.cli import ablate, gin_settings, prepare, program
from flan_jax.errors import InputError
from flan_jax.models.config import config_fields
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.tasks import Prompts
from flan_jax.weights import model_folder

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
        "include 'models/t5_nano.gin'\n"
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
    assert gin_settings.load_engine(
        "toy", [users_module], ["ToyEngine.queue = 'long'"]
    ).queue == ("long")

    flags = [
        f"--gin_file={users_module}", "--gin.AblationConfig.axes={'HELD_OUT': ['nli']}",
        "--engine=toy", "--dry_run", f"--sweep_dir={tmp_path / 'sweep'}",
    ]  # fmt: skip
    assert program.exit_code(ablate.main, flags) == 0
    assert "true short " in capsys.readouterr().out


def test_the_arguments_of_a_users_layer_are_part_of_the_model(users_module):
    def model(*bindings):
        return gin_settings.load_settings([users_module], bindings).model

    doubled = model("DoubledDense.use_bias = True")
    assert config_fields(doubled)["dense"] == "users_module.DoubledDense(use_bias=True)"
    assert config_fields(model())["dense"] == "users_module.DoubledDense"
    assert doubled == model("DoubledDense.use_bias = True")
    assert doubled != model()
    # The arguments do not depend on what gin has read since.
    assert doubled.dense((4, 8), ("embed", "mlp")).use_bias


def test_two_configurables_of_one_name_are_refused():
    def Settings():
        pass

    with pytest.raises(InputError, match="two configurables are named 'Settings'"):
        gin_settings.register_configurable(Settings)


def test_a_gin_file_that_is_not_there(refused):
    assert refused(prepare.main, "--gin_file=flan_mixtur.gin").startswith(
        "unknown gin file 'flan_mixtur.gin'. Did you mean 'flan_mixture.gin'? Known: "
    )


def test_a_macro_without_a_value(refused):
    expected = "the gin macro MIXTURE has no value yet; write --gin.MIXTURE=value, or set it in a gin file"
    assert refused(prepare.main, "--gin_file=train.gin") == expected
    assert "the gin macro STEPS has no value" in refused(
        prepare.main, "--gin_file=train.gin", "--gin.MIXTURE=rte"
    )
    named = ["--gin_file=flan_mixture.gin", "--gin_file=models/t5_1_1_small.gin"]
    assert "the gin macro TOKENIZER has no value" in refused(
        prepare.main, *named, "--gin.SOURCE=tfds"
    )


def test_a_broken_gin_file(refused, tmp_path):
    (tmp_path / "broken.gin").write_text("include 'train.gin'\nSTEPS = = 3\n")
    assert "broken.gin" in refused(
        prepare.main, f"--gin_file={tmp_path / 'broken.gin'}"
    )
    (tmp_path / "module.gin").write_text("import no_such_module_of_tasks\n")
    assert "no_such_module_of_tasks" in refused(
        prepare.main, f"--gin_file={tmp_path / 'module.gin'}"
    )


def test_a_folder_of_the_users_hides_no_gin_file(tmp_path, monkeypatch, capsys):
    """gin reads `include 'models/t5_nano.gin'` as a file of a package `models` too, if Python finds one."""
    (tmp_path / "models").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = gin_settings.load_settings(["flan_mixture.gin"], [])
    assert settings.data.mixture == "first_run"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("nli", "nli"),
        ("'nli'", "nli"),
        ('"nli"', "nli"),
        ("None", None),
        ("reading_comp", "reading_comp"),
    ],
)
def test_a_text_may_be_written_with_and_without_quotes(settings_of, written, value):
    assert settings_of(f"--gin.HELD_OUT={written}")[0].data.held_out == value


def test_flags_reach_the_settings(settings_of):
    settings, config_text = settings_of(
        "--gin.DATA_DIR=/data/some-place/v1.0",
        "--gin.LENGTHS={'inputs': 32, 'targets': 'fit'}",
        "--gin.STEPS=7",
        "--gin.MESH={'fsdp': 4, 'tensor': 2}",
        "--gin.TrainConfig.log_every=5",
        "--gin.LEARNING_RATE=0.5",
        "--gin.SEED=3",
        "--gin.EncoderDecoderConfig.mlp_activations=('relu',)",
        "--gin.STEPS=9",
        "--dry_run",
    )
    assert settings.data.data_dir == "/data/some-place/v1.0"
    assert settings.data.lengths == {"inputs": 32, "targets": "fit"}
    assert settings.data.seed == 3
    assert settings.training.steps == 9
    assert settings.training.log_every == 5
    assert settings.training.seed == 3
    assert settings.training.mesh == {"fsdp": 4, "tensor": 2}
    assert settings.optimizer.learning_rate == 0.5
    assert settings.model.mlp_activations == ("relu",)
    assert "STEPS = 9" in config_text
    # Nothing of one command is left for the next.
    assert settings_of()[0].training.steps == 3


def test_prompts_of_training_and_of_evaluation(settings_of):
    data = settings_of(
        "--gin.Prompts.shots=2",
        "--gin.eval/Prompts.instructions=none",
        "--gin.train/Prompts.shots=3",
    )[0].data
    assert data.train_prompts == Prompts(shots=3)
    assert data.eval_prompts == Prompts(shots=2, instructions="none")


def test_several_clusters_are_held_out(settings_of):
    data = settings_of("--gin.MIXTURE=practice", "--gin.HELD_OUT=['nli', 'sentiment']")[
        0
    ].data
    assert data.split().held_out == ("rte", "cb", "wnli", "sst2")


def test_an_unknown_class_of_a_user(refused):
    flag = "--gin.DecoderConfig.dense=@MyUnheardOfLayer"
    said = refused(prepare.main, "--gin_file=flan_mixture.gin", flag)
    assert "No configurable matching reference '@MyUnheardOfLayer'" in said
    assert said.endswith(
        "A class of your own is known once the module that gives it to "
        "register_configurable is imported in a gin file: import my_module"
    )


def test_a_module_that_is_not_found(refused, tmp_path):
    (tmp_path / "my.gin").write_text("import no_such_module")
    said = refused(
        prepare.main, "--gin_file=flan_mixture.gin", f"--gin_file={tmp_path}/my.gin"
    )
    assert said.startswith("No module named 'no_such_module'")
    assert "Modules are looked for in" in said


@pytest.fixture
def said(tmp_path, capsys):
    """said(text, *bindings): the lines that are printed where a gin file has this text."""

    def load(text, *bindings):
        gin_settings._say.cache_clear()
        file = tmp_path / "mine.gin"
        file.write_text(text)
        gin_settings.load_settings([str(file)], bindings)
        lines = capsys.readouterr().err.splitlines()
        return [line.replace(f"{file}, line ", "") for line in lines]

    return load


MIXTURE = "include 'flan_mixture.gin'\ninclude 'models/t5_nano.gin'\n"


def test_settings_that_are_not_read_are_said(said):
    lines = said(
        f"{MIXTURE}GenerationConfig.temperature = 0.5\nRowFormat.end = 'x'\n"
        "tran/Prompts.shots = 2\nSTEP = 5\nDecoderConfig.remat = 'full'\n"
        "flan_jax.DecoderConfig.dtype = 'bfloat16'\nEncoderDecoderConfig.remat = 'full'"
    )
    assert lines == [
        (
            "GenerationConfig.temperature (3) is not read: no setting is @GenerationConfig(). Write "
            "EvalConfig.generation = @GenerationConfig() too"
        ),
        (
            "RowFormat.end (4) is not read: no setting is @RowFormat(). Write "
            "ROW_FORMAT = @RowFormat() too"
        ),
        "tran/Prompts.shots (5) is not read: no setting is @tran/Prompts()",
        "STEP (6) is not read: no setting refers to %STEP. Did you mean STEPS?",
        "DecoderConfig.remat (7) is not read: MODEL is of the class EncoderDecoderConfig",
        "DecoderConfig.dtype (8) is not read: MODEL is of the class EncoderDecoderConfig",
    ]


def test_settings_of_the_command_line_that_are_not_read_are_said(said):
    assert said(
        MIXTURE, "GenerationConfig.seed = 1", "DecoderConfig.remat = 'full'"
    ) == [
        (
            "GenerationConfig.seed (the command line) is not read: no setting is "
            "@GenerationConfig(). Write EvalConfig.generation = @GenerationConfig() too"
        ),
        "DecoderConfig.remat (the command line) is not read: MODEL is of the class EncoderDecoderConfig",
    ]


@pytest.mark.parametrize(
    "text",
    [
        (
            "Prompts.shots = 2\ntrain/Prompts.shots = 3\nEvalConfig.more = {'few': @few/Prompts()}\n"
            "few/Prompts.shots = 4\n"
        ),
        "RATE = 1e-3\nLEARNING_RATE = %RATE\n",
        "EvalConfig.generation = @GenerationConfig()\nGenerationConfig.temperature = 0.5\n",
        "ROW_FORMAT = @RowFormat()\nRowFormat.end = '{eos}'\n",
        # A sweep's settings are for another program.
        "include 'few_shot.gin'\ninclude 'models/t5_nano.gin'\nVALUES = [1, 2]\nAblationConfig.axes = {'SEED': %VALUES}\n",
        "include 'models/llama_nano.gin'\nDecoderConfig.remat = 'full'\nTOKENIZER = 'practice'\n",
    ],
)
def test_nothing_is_said_of_settings_that_are_read(said, text):
    assert said(MIXTURE + text) == []


def test_nothing_is_said_of_a_runs_own_configuration(said):
    _, text = gin_settings.resolve(
        ["few_shot.gin", "models/t5_nano.gin", "models/llama_nano.gin"], []
    )
    assert "EncoderDecoderConfig." in text and "AblationConfig." in text
    assert said(text) == []


def test_the_arguments_of_a_users_layer_are_read(users_module, capsys):
    gin_settings.load_settings([users_module], ["DoubledDense.use_bias = True"])
    assert capsys.readouterr().err == ""


def test_settings_of_a_folders_model(said, tmp_path):
    """They change the folder's. Those of from_warm_start are said where MODEL is another."""
    run = tmp_path / "run"
    (run / "checkpoints" / "3" / "params").mkdir(parents=True)
    model = EncoderDecoderConfig(
        vocab_size=4096,
        emb_dim=16,
        num_heads=2,
        head_dim=8,
        mlp_dim=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
    )
    model_folder.write_manifest(run, model, "practice", None)
    first_run = "include 'flan_mixture.gin'\n"
    warm_start = f"WARM_START = {str(run)!r}"
    lines = said(f"{first_run}EncoderDecoderConfig.dropout_rate = 0.0\n", warm_start)
    assert len(lines) == 1 and lines[0].startswith(f"MODEL from {run}")

    change = "from_warm_start.dropout_rate = 0.0\n"
    assert said(first_run + change, warm_start) == lines
    assert said(MIXTURE + change, warm_start) == [
        (
            "from_warm_start.dropout_rate (3) is not read: MODEL is not @from_warm_start(). Write "
            "EncoderDecoderConfig.dropout_rate"
        )
    ]
