"""WARM_START alone: settings, programs, and what is said and refused."""

import json
import shutil

import pytest

from flan_jax.cli import (
    ablate,
    convert,
    evaluate,
    gin_settings,
    preflight,
    program,
    train,
)
from flan_jax.data.row_format import RowFormat
from flan_jax.errors import InputError
from flan_jax.models.config import config_fields
from flan_jax.models.decoder import DecoderConfig
from flan_jax.tasks import mixtures
from flan_jax.training.optimizers import RATE_OF_SHIPPED, TUNING_RATES
from flan_jax.weights import model_folder

pytest.importorskip("transformers")
from model_folders import BOS, change_config, save_model, save_tokenizer

SMALL = [
    "--gin_file=flan_mixture.gin",
    "--gin.MIXTURE=cb",
    "--gin.HELD_OUT=None",
    "--gin.STEPS=1",
    "--gin.BATCH_SIZE=8",
    "--gin.LENGTHS={'inputs': 48, 'targets': 16}",
    "--gin.DataConfig.workers=0",
    "--gin.DataConfig.examples_per_dataset=20",
    "--gin.DataConfig.seen_eval_examples=2",
]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder") / "llama"
    save_model("llama", folder)
    return folder


@pytest.fixture
def copied(llama, tmp_path):
    folder = tmp_path / "copied"
    shutil.copytree(llama, folder)
    return folder


def load(folder, *bindings, file="flan_mixture.gin"):
    return gin_settings.resolve([file], [f"WARM_START = {str(folder)!r}", *bindings])


def test_the_configuration_of_a_run_does_not_need_the_folder(copied, tmp_path):
    settings, text = load(copied, "from_warm_start.remat = 'full'")
    assert settings.data.row_format == "text"
    assert settings.model.start_id == BOS
    assert settings.model.remat == "full"
    assert settings.data.tokenizer == str(copied)
    assert settings.training.model_changes == ("remat",)

    shutil.rmtree(copied)
    (tmp_path / "config.gin").write_text(text)
    assert gin_settings.load_settings([str(tmp_path / "config.gin")], []) == settings
    assert gin_settings.load_model([str(tmp_path / "config.gin")]) == settings.model


def test_settings_of_the_command_line_and_of_a_file_change_the_folders(llama, tmp_path):
    settings, _ = load(llama, "DecoderConfig.dtype = 'bfloat16'")
    assert settings.model.dtype == "bfloat16"
    assert settings.model.emb_dim == 16
    (tmp_path / "first.gin").write_text(
        "include 'flan_mixture.gin'\nDecoderConfig.remat = 'full'\n"
        "EncoderDecoderConfig.remat = 'full'\n"
    )
    first, _ = load(llama, file=str(tmp_path / "first.gin"))
    assert first.model.remat == "full"
    (tmp_path / "mine.gin").write_text(
        "include 'train.gin'\nimport tasks\nMIXTURE = 'cb'\nSTEPS = 1\nBATCH_SIZE = 8\n"
        "LENGTHS = {'inputs': 8, 'targets': 8}\nLEARNING_RATE = 0.1\n"
        "DecoderConfig.remat = 'full'\n"
    )
    mine, _ = load(llama, file=str(tmp_path / "mine.gin"))
    assert mine.model.remat == "full"
    assert mine.model.emb_dim == 16
    assert mine.data.tokenizer == str(llama)


def test_without_a_warm_start_the_first_run_is_the_practice_model():
    settings = gin_settings.load_settings(["flan_mixture.gin"], [])
    assert settings.training.warm_start == "practice_t5"
    assert settings.model == model_folder.model_of("practice_t5")
    assert settings.data.tokenizer == "practice"
    named = gin_settings.load_settings(["flan_mixture.gin", "models/t5_nano.gin"], [])
    assert named.training.warm_start is None
    assert named.model == gin_settings.load_model(["models/t5_nano.gin"])
    assert settings.training.model_changes == ()


def test_the_learning_rate_of_a_kind_of_model(llama, tmp_path):
    """LEARNING_RATE is for tuning where there is a WARM_START, unless it is set."""

    def rate(*files, **macros):
        bindings = [f"{name} = {value!r}" for name, value in macros.items()]
        settings = gin_settings.load_settings(["flan_mixture.gin", *files], bindings)
        return settings.optimizer.learning_rate

    save_model("t5", tmp_path / "t5")
    assert rate() == RATE_OF_SHIPPED == 2e-3
    assert rate("models/t5_nano.gin") == 1e-2
    assert rate(WARM_START=str(llama)) == TUNING_RATES["decoder"] == 3e-5
    t5 = str(tmp_path / "t5")
    assert rate(WARM_START=t5) == TUNING_RATES["encoder_decoder"] == 1e-3
    # MODEL decides, as for a checkpoint of T5X, which names none.
    assert rate("models/llama_nano.gin", WARM_START=t5) == 3e-5
    assert rate(WARM_START=t5, LEARNING_RATE=0.5) == 0.5
    with pytest.raises(InputError, match="LEARNING_RATE has no value"):
        load(llama, "OptimizerConfig.name = 'adamw'")
    (tmp_path / "own.gin").write_text("include 'flan_mixture.gin'\nLEARNING_RATE = 0.1")
    assert load(llama, file=str(tmp_path / "own.gin"))[0].optimizer.learning_rate == 0.1


@pytest.mark.parametrize(("rate", "is_said"), [(1e-4, False), (1e-2, True)])
def test_a_rate_for_random_parameters_is_said(rate, is_said, llama, capsys):
    flags = [*SMALL, f"--gin.WARM_START={llama}", f"--gin.LEARNING_RATE={rate}"]
    assert program.exit_code(train.main, [*flags, "--dry_run"]) == 0
    said = capsys.readouterr().err
    assert (f"LEARNING_RATE is {rate:g}, and Adafactor tunes a trained decoder at about 3e-05" in said) == is_said  # fmt: skip


def test_a_named_model_wins(llama):
    settings = gin_settings.load_settings(
        ["flan_mixture.gin", "models/llama_nano.gin"], [f"WARM_START = {str(llama)!r}"]
    )
    assert settings.model.emb_dim == 512


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("from_warm_start.num_layer = 2", "Did you mean 'num_layers'"),
        ("from_warm_start.num_layers = 'two'", "num_layers is 'two'; it must be int"),
        ("EncoderDecoderConfig.remat = 'full'", "remat is not read.*DecoderConfig"),
    ],
)
def test_wrong_changes_are_refused(binding, message, llama):
    with pytest.raises(InputError, match=message):
        load(llama, binding)


def test_no_model_and_no_warm_start(refused, tmp_path):
    unset = "--gin.from_warm_start.default=None"
    said = refused(train.main, "--gin_file=flan_mixture.gin", unset)
    assert "neither a MODEL nor a WARM_START" in said
    assert "--gin.WARM_START=" in said and "--gin_file=models/" in said
    said = refused(
        train.main, "--gin_file=flan_mixture.gin", f"--gin.WARM_START={tmp_path}/gone"
    )
    assert f"there is no folder {tmp_path}/gone" in said


def test_what_is_chosen_and_what_changes_numbers_is_said_once(copied, capsys):
    change_config(copied, dtype="bfloat16")
    flags = [
        *SMALL,
        f"--gin.WARM_START={copied}",
        "--gin.from_warm_start.norm_epsilon=1e-3",
        "--gin.from_warm_start.prefix_lm=True",
        "--dry_run",
    ]
    assert program.exit_code(train.main, flags) == 0
    said = capsys.readouterr().err
    assert said.count(f"MODEL from {copied}: DecoderConfig, computed in float32") == 1
    assert "--gin.from_warm_start.dtype=bfloat16" in said
    assert said.count("norm_epsilon: 0.001, not 1e-06") == 1
    assert "Write DecoderConfig.prefix_lm = False" in said


def test_rows_without_the_folders_bos_are_said(llama, capsys):
    flags = [*SMALL, f"--gin.WARM_START={llama}", "--dry_run"]
    flags += ["--gin.ROW_FORMAT=flan", "--gin.from_warm_start.start_id=None"]
    assert program.exit_code(train.main, flags) == 0
    said = capsys.readouterr().err
    assert "these rows with token 0" in said
    assert f"Write DecoderConfig.start_id = {BOS}" in said


def test_an_exported_folder_names_its_row_format(copied):
    texts = {"start": "{bos}", "separator": " => ", "end": "{eos}"}
    (copied / model_folder.ROW_FORMAT_FILE).write_text(json.dumps(texts))
    settings, text = load(copied)
    assert settings.data.row_format == RowFormat(separator=" => ")
    assert "RowFormat.separator = ' => '" in text
    assert load(copied, "ROW_FORMAT = 'flan'")[0].data.row_format == "flan"

    wrong = json.dumps(texts | {"seperator": " "})
    (copied / model_folder.ROW_FORMAT_FILE).write_text(wrong)
    with pytest.raises(InputError, match="Did you mean 'separator'"):
        load(copied)


def test_another_tokenizer_than_the_folders_is_said(llama, capsys):
    flags = [*SMALL, f"--gin.WARM_START={llama}", "--gin.TOKENIZER=practice"]
    # That tokenizer has no newline, which plain text would put before an answer.
    flags += ["--gin.ROW_FORMAT=flan", "--dry_run"]
    assert program.exit_code(train.main, flags) == 0
    assert "TOKENIZER is practice, and" in capsys.readouterr().err


def test_folders_without_a_fitting_tokenizer(copied, refused):
    flags = [*SMALL, f"--gin.WARM_START={copied}", "--dry_run"]
    save_tokenizer(copied, adds_bos=True, fillers=5000)
    assert "has 5260 ids, the model an embedding of 4096" in refused(train.main, *flags)

    shutil.copyfile(gin_settings.GIN_FOLDER.parent / "flan_jax/data/practice.model", copied / "tokenizer.model")  # fmt: skip
    assert "two tokenizers that disagree" in refused(train.main, *flags)

    (copied / "tokenizer.json").unlink()
    config = json.loads((copied / "tokenizer_config.json").read_text())
    for extra_ids in (10**9, -1, "many"):
        wrong = json.dumps(config | {"extra_ids": extra_ids})
        (copied / "tokenizer_config.json").write_text(wrong)
        said = refused(train.main, *flags)
        assert f"extra_ids = {extra_ids!r}" in said and "tokenizer_config.json" in said

    (copied / "tokenizer.model").unlink()
    assert "holds no tokenizer" in refused(train.main, *flags)


def test_trained_converted_and_evaluated_by_the_folder_alone(llama, tmp_path, capsys):
    warm_start = f"--gin.WARM_START={llama}"
    run = tmp_path / "run"
    assert program.exit_code(train.main, [*SMALL, warm_start, f"--run_dir={run}"]) == 0
    assert model_folder.model_of(run) == model_folder.model_of(llama)
    again, _ = load(run)
    assert again.data.row_format == RowFormat(start=BOS)

    ours = tmp_path / "ours"
    to_ours = [str(llama), str(ours), "--to=flan_jax"]
    assert program.exit_code(convert.main, to_ours) == 0
    assert model_folder.model_of(ours) == model_folder.model_of(llama)
    assert model_folder.default_row_format(ours) == "text"
    assert program.exit_code(convert.main, [str(ours), str(tmp_path / "back")]) == 0
    assert model_folder.model_of(tmp_path / "back") == model_folder.model_of(llama)

    scores = []
    for source in (llama, ours, tmp_path / "back", run):
        target = tmp_path / f"scores_{source.name}"
        flags = [*SMALL, f"--gin.WARM_START={source}", f"--run_dir={target}"]
        assert program.exit_code(evaluate.main, [*flags, "--tasks=cb"]) == 0
        scores.append(json.loads((target / "eval" / "cb.json").read_text())["after"])
    assert scores[0] == scores[1] == scores[2]
    capsys.readouterr()


CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- bos_token if loop.first else '' }}[{{ message['role'] }}]
{{- message['content'] + (eos_token if message['role'] == 'assistant' else '') }}
{%- endfor %}
{%- if add_generation_prompt %}[assistant]{% endif %}"""


@pytest.fixture
def two_tasks(monkeypatch):
    """The name of a mixture of one task to train on and one of natural language inference."""
    monkeypatch.setattr(mixtures, "MIXTURES", dict(mixtures.MIXTURES))
    return mixtures.register_mixture(mixtures.Mixture("two_tasks", ("cb", "trec"))).name


@pytest.mark.parametrize(
    ("name", "row_format"),
    [("llama", "text"), ("llama3", "chat"), ("stories", "text"), ("mt5", "flan")],
)
def test_a_run_from_an_export_begins_where_the_exported_run_ended(
    name, row_format, two_tasks, tmp_path, capsys
):
    """Nothing but the exported folder is given: model, tokenizer and row format are in it."""
    folder, exported = tmp_path / name, tmp_path / "exported"
    save_model(name, folder)
    if row_format == "chat":
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)

    def run(warm_start, run_dir):
        flags = [
            *SMALL,
            f"--gin.MIXTURE={two_tasks}",
            "--gin.HELD_OUT=nli",
            "--gin.STEPS=2",
            "--gin.DataConfig.eval_examples=3",
            f"--gin.WARM_START={warm_start}",
            f"--run_dir={run_dir}",
        ]
        assert program.exit_code(train.main, flags) == 0
        return load(run_dir)[0]

    def predictions(run_dir, phase):
        """The answers, with the log-probability of each option."""
        text = (tmp_path / run_dir / "predictions" / f"cb-{phase}.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    assert load(folder)[0].data.row_format == row_format
    first = run(folder, tmp_path / "first")
    arguments = [str(tmp_path / "first"), str(exported), f"--original={folder}"]
    assert program.exit_code(convert.main, arguments) == 0

    second = run(exported, tmp_path / "second")
    assert predictions("second", "before") == predictions("first", "after")
    assert predictions("first", "before") != predictions("first", "after")
    assert config_fields(second.model) == config_fields(first.model)
    for text in ("Is it raining?", "é 日本 🙂\n- yes", " a  b</s> "):
        rows = [settings.row_tokenizer() for settings in (first, second)]
        assert rows[0].tokens == rows[1].tokens
        assert rows[0].encode_prompts([text]) == rows[1].encode_prompts([text])
        assert rows[0].encode_answers([text]) == rows[1].encode_answers([text])
    capsys.readouterr()


def test_preflight_and_a_sweep_over_folders(llama, tmp_path, capsys):
    warm_start = f"--gin.WARM_START={llama}"
    assert program.exit_code(preflight.main, [*SMALL, warm_start]) == 0
    save_model("t5", tmp_path / "t5")
    axes = f"{{'WARM_START': [{str(llama)!r}, {str(tmp_path / 't5')!r}]}}"
    sweep = [
        *SMALL, f"--gin.AblationConfig.axes={axes}", "--dry_run",
        f"--sweep_dir={tmp_path / 'sweep'}",
    ]  # fmt: skip
    assert program.exit_code(ablate.main, sweep) == 0
    assert capsys.readouterr().out.count("WARM_START=") == 2


def test_runs_of_a_sweep_with_a_base_have_the_models_of_the_gin_file():
    """The base is not trained when the sweep is planned: its folder says nothing yet."""
    unknown = [
        "WARM_START = '/not/there'",
        "from_warm_start.warm_start = None",
        "from_warm_start.default = None",
    ]
    settings = gin_settings.load_settings(
        ["leave_one_cluster_out.gin", "models/t5_nano.gin"], unknown
    )
    with pytest.raises(InputError, match="neither a MODEL nor a WARM_START whose"):
        gin_settings.load_settings(["leave_one_cluster_out.gin"], unknown)
    assert settings.model == gin_settings.load_model(["models/t5_nano.gin"])
    assert not isinstance(settings.model, DecoderConfig)
