import dataclasses
import errno
import json
import re
import signal

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import tasks  # noqa: F401 (registers)
from flan_jax.cli import (
    ablate,
    arguments,
    evaluate,
    gin_settings,
    leakage,
    mixture,
    prepare,
    program,
    tokenizer,
    train,
)  # fmt: skip
from flan_jax.data import config as data_config
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError
from flan_jax.json_files import write_json
from flan_jax.parallel.mesh import make_mesh
from flan_jax.parallel.preemption import Preempted
from flan_jax.reports import sweep_report
from flan_jax.tasks import mixtures
from flan_jax.tasks import task as registry
from flan_jax.tasks.prompts import Prompts
from flan_jax.training import manifest
from flan_jax.training.metrics_log import NotFinite

RUN = """\
include 'train.gin'
import tasks
MODEL = @EncoderDecoderConfig()
EncoderDecoderConfig.vocab_size = 2048
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
    compiled, handler = jax.config.jax_compilation_cache_dir, signal.getsignal(signal.SIGTERM)
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


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--gin.STEPZ=1", "unknown gin macro 'STEPZ'. Did you mean 'STEPS'?"),
        ("--gin.TrainConfig.log_evry=1", "'TrainConfig' doesn't have a parameter named 'log_evry'.*Did you mean 'log_every'?"),
        ("--gin.TrainConfg.steps=1", "No configurable matching 'TrainConfg'.*Did you mean 'TrainConfig'?"),
        ("--gin.MODEL=@DecoderConfg()", "No configurable matching reference '@DecoderConfg.*Did you mean 'DecoderConfig'?"),
        ("--gin.MODEL=big", "MODEL is 'big'; write MODEL = @EncoderDecoderConfig() or @DecoderConfig()"),
        ("--gin.MIXTURE=flan2022", "unknown mixture or task 'flan2022'. Did you mean 'flan2021'?"),
        ("--gin.MIXTURE=rtee", "unknown mixture or task 'rtee'. Did you mean 'rte'?"),
        ("--gin.HELD_OUT=nlu", "unknown cluster to hold out 'nlu'. Did you mean 'nli'?"),
        ("--gin.HELD_OUT=nli", "holding nli out leaves no task to train on"),
        ("--gin.LENGTHS={'inputs': 0, 'targets': 16}", "LENGTHS is {'inputs': 0, 'targets': 16}; write .*Inputs are at least 1"),
        ("--gin.LENGTHS={'inputs': 64, 'targets': 1}", "LENGTHS is .*targets at least 2, as EOS takes one"),
        ("--gin.LENGTHS={'inputs': 64}", "LENGTHS is {'inputs': 64}; write"),
        ("--gin.LENGTHS=64", "DataConfig.lengths is 64; it must be .*Mapping"),
        ("--gin.SOURCE=sandbx", "unknown SOURCE 'sandbx'. Did you mean 'sandbox'?"),
        ("--gin.SOURCE=jsonl", "SOURCE = 'jsonl' needs DATA_DIR"),
        ("--gin.DATA_DIR=/nowhere/at/all", "DATA_DIR is /nowhere/at/all, but there is no such folder"),
        ("--gin.TOKENIZER=/nowhere/spiece.model", "there is no tokenizer /nowhere/spiece.model"),
        ("--profile=3:2", "--profile=3:2 is no span of this run's 3 steps; write the first and the last"),
        ("--gin.TrainConfig.compiler_options={'xla_no_such': 1}", "compiler_options sets xla_no_such to 1, which this compiler for cpu does not"),
        ("--gin.BATCH_SIZE=12", "BATCH_SIZE 12 does not divide .*use a multiple of 8"),
        ("--gin.BATCH_SIZE=0", "BATCH_SIZE 0 does not divide .*use a multiple of 8"),
        ("--gin.MESH={'data': 3}", "MESH gives the axis 'data' 3 devices, which does not divide the 8 cpu devices"),
        ("--gin.MESH={'dta': 8}", "MESH names the axis dta; the axes are data, fsdp, tensor"),
        ("--gin.MESH=8", "TrainConfig.mesh is 8; it must be .*Mapping"),
        ("--gin.OptimizerConfig.name=adam", "unknown optimizer 'adam'. Did you mean 'adamw'?"),
        ("--gin.OptimizerConfig.schedule=rsqr", "unknown schedule 'rsqr'. Did you mean 'rsqrt'?"),
        ("--gin.STEPS=0", "TrainConfig.steps is 0; it must be at least 1"),
        ("--gin.STEPS=many", "TrainConfig.steps is 'many'; it must be int"),
        ("--gin.STEPS=1e3", "TrainConfig.steps is 1000.0; it must be int"),
        ("--gin.STEPS=True", "TrainConfig.steps is True; it must be int"),
        ("--gin.LEARNING_RATE=fast", "OptimizerConfig.learning_rate is 'fast'; it must be float"),
        ("--gin.DataConfig.packing=maybe", "DataConfig.packing is 'maybe'; it must be bool"),
        ("--gin.CheckpointConfig.every=0", "CheckpointConfig.every is 0; it must be at least 1"),
        ("--gin.EncoderDecoderConfig.emb_dim=0", "emb_dim is 0; it counts something"),
        ("--gin.STEPS", "--gin.STEPS has no value; write --gin.STEPS=value"),
        ("--gin.STEPS=", "--gin.STEPS has no value; write --gin.STEPS=value"),
        ("--gin.DataConfig.clusters=papr", "unknown DataConfig.clusters 'papr'. Did you mean 'paper'?"),
        ("--gin.DataConfig.assignment=robin", "unknown DataConfig.assignment 'robin'.*round_robin"),
        ("--gin.DataConfig.renderings=0", "DataConfig.renderings is 0"),
        ("--gin.DataConfig.mixing=3", "DataConfig.mixing is 3; it must be"),
        ("--gin.eval/Prompts.instructions=nautral", "unknown Prompts.instructions 'nautral'. Did you mean 'natural'?"),
        ("--gin.Prompts.shots=17", "Prompts.shots is 17; exemplars are between 0"),
        ("--gin.Prompts.shot=1", "doesn't have a parameter named 'shot'.*Did you mean 'shots'?"),
        ("--gin.EvalConfig.scoring=meen", "unknown EvalConfig.scoring 'meen'. Did you mean 'mean'? Known: calibrated, mean, sum"),
        ("--gin.EvalConfig.more={'a-b': @Prompts()}", "EvalConfig.more is {'a-b': Prompts.*; write a name of letters"),
        ("--gin.HELD_OUT=a,b", "--gin.HELD_OUT=a,b is no value that gin can read"),
    ],
)  # fmt: skip
def test_bad_input_says_what_and_ends_with_2(refused, gin_file, tmp_path, flag, message):
    said = refused(train.main, gin_file, f"--run_dir={tmp_path / 'run'}", flag)
    assert re.search(re.sub(r"([?()])", r"\\\1", message), said, re.DOTALL), said
    assert not list((tmp_path / "cache").rglob("*.arrow")), (
        "data was prepared before the mistake was found"
    )


def test_a_gin_file_that_is_not_there(refused):
    assert refused(prepare.main, "--gin_file=flan_mixtur.gin").startswith(
        "unknown gin file 'flan_mixtur.gin'. Did you mean 'flan_mixture.gin'? Known: "
    )


def test_a_macro_without_a_value(refused):
    expected = (
        "the gin macro MIXTURE has no value yet; write --gin.MIXTURE=value, or set it in a gin file"
    )
    assert refused(prepare.main, "--gin_file=train.gin") == expected
    assert "the gin macro TOKENIZER has no value" in refused(
        prepare.main, "--gin_file=train.gin", "--gin.MIXTURE=rte"
    )


def test_a_broken_gin_file(refused, tmp_path):
    (tmp_path / "broken.gin").write_text("include 'train.gin'\nSTEPS = = 3\n")
    assert "broken.gin" in refused(prepare.main, f"--gin_file={tmp_path / 'broken.gin'}")
    (tmp_path / "module.gin").write_text("import no_such_module_of_tasks\n")
    assert "no_such_module_of_tasks" in refused(
        prepare.main, f"--gin_file={tmp_path / 'module.gin'}"
    )


def test_a_folder_of_the_users_hides_no_gin_file(tmp_path, monkeypatch, capsys):
    """gin reads `include 'models/t5_nano.gin'` as a file of a package `models` too, if Python finds one."""
    (tmp_path / "models").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert gin_settings.load_settings(["flan_mixture.gin"], []).data.mixture == "practice"


def test_a_run_directory_that_cannot_be_written(refused, gin_file, tmp_path):
    (tmp_path / "taken").write_text("")
    said = refused(train.main, gin_file, f"--run_dir={tmp_path / 'taken'}")
    assert said.startswith(f"the run directory {tmp_path / 'taken'} cannot be written (")


def test_evaluating_a_run_that_never_was(refused, gin_file, tmp_path):
    said = refused(evaluate.main, gin_file, f"--run_dir={tmp_path / 'absent'}")
    assert said == (
        f"there is no run in {tmp_path / 'absent'} whose checkpoint could be scored. Name a run with --run_dir, or any "
        "checkpoint with --gin.WARM_START"
    )
    said = refused(evaluate.main, gin_file, f"--gin.WARM_START={tmp_path / 'absent'}")
    assert said.startswith(f"there is no folder {tmp_path / 'absent'} to take parameters from")


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
        dataclasses.replace(rte, name="untested", cluster="dark", dataset="", source=source)
    )
    registry.register(
        dataclasses.replace(rte, name="around", cluster="turned", dataset="", templates=around)
    )
    mixtures.register_mixture(mixtures.Mixture("dim", ("untested", "around", "wnli", "sst2")))
    (tmp_path / "run" / "checkpoints" / "3").mkdir(parents=True)
    return f"--gin.WARM_START={tmp_path / 'run'}"


def test_what_cannot_be_evaluated_is_named(gin_file, capsys, refused, blind):
    assert program.exit_code(evaluate.main, [gin_file, blind, "--tasks=dim", "--dry_run"]) == 0
    shown = capsys.readouterr()
    assert (
        "not evaluated:\n  untested: it has no test split\n  around: all its templates are turned around"
        in shown.err
    )
    assert {line.split()[1] for line in shown.out.splitlines()} == {"wnli", "sst2"}
    for task, reason in (
        ("untested", "no test split"),
        ("around", "all its templates are turned around"),
    ):
        said = refused(evaluate.main, gin_file, blind, f"--tasks={task}")
        assert said.startswith("none of the tasks to evaluate can be evaluated:") and reason in said
    assert "Did you mean 'wnli'?" in refused(evaluate.main, gin_file, blind, "--tasks=sst2,wnly")


@pytest.mark.parametrize("cluster", ["dark", "turned"])
def test_a_held_out_cluster_that_cannot_be_evaluated_is_refused(
    gin_file, refused, blind, tmp_path, cluster
):
    flags = ["--gin.MIXTURE=dim", f"--gin.HELD_OUT={cluster}", f"--run_dir={tmp_path / 'new'}"]
    assert "none of the tasks to evaluate can be evaluated" in refused(train.main, gin_file, *flags)


def test_tasks_trained_on_that_cannot_be_evaluated_are_trained_on_all_the_same(
    gin_file, capsys, blind
):
    assert program.exit_code(prepare.main, [gin_file, "--gin.MIXTURE=dim"]) == 0
    shown = capsys.readouterr()
    assert "not evaluated:\n  untested" in shown.err
    assert "4 tasks with 80 training examples and 2 evaluation sets" in shown.out


@pytest.mark.parametrize(
    "flags",
    [["--gin.STEPS=1"], ["--gin_file=train.gin", "--step=1"], ["--gin_file=train.gin", "more"]],
)
def test_flags_that_do_not_exist_end_with_2(flags):
    with pytest.raises(SystemExit) as ended:
        program.exit_code(train.main, flags)
    assert ended.value.code == 2


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


def test_flags_reach_the_settings(settings_of, tmp_path):
    settings, invocation = settings_of(
        "--gin.DATA_DIR=/data/some-place/v1.0", "--gin.LENGTHS={'inputs': 32, 'targets': 'fit'}", "--gin.STEPS=7",
        "--gin.MESH={'fsdp': 4, 'tensor': 2}", "--gin.TrainConfig.log_every=5", "--gin.LEARNING_RATE=0.5", "--gin.SEED=3",
        "--gin.EncoderDecoderConfig.mlp_activations=('relu',)", "--gin.STEPS=9", "--dry_run",
    )  # fmt: skip
    assert settings.data.data_dir == "/data/some-place/v1.0"
    assert settings.data.lengths == {"inputs": 32, "targets": "fit"}
    assert (
        settings.training.steps,
        settings.training.log_every,
        settings.training.seed,
        settings.data.seed,
    ) == (
        9,
        5,
        3,
        3,
    )
    assert settings.training.mesh == {"fsdp": 4, "tensor": 2}
    assert settings.optimizer.learning_rate == 0.5
    assert settings.model.mlp_activations == ("relu",)
    assert (invocation.run_dir, invocation.dry_run) == ("runs/small", True)
    assert "STEPS = 9" in invocation.config_text
    # Nothing of one command is left for the next.
    assert settings_of()[0].training.steps == 3


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (None, 0, ""),
        (Preempted(), 42, "everything is saved. The same command goes on"),
        (InputError("write it otherwise"), 2, "error: write it otherwise\n"),
        (NotFinite("the loss is nan at step 3"), 1, "the loss is nan at step 3"),
        (
            OSError(errno.ENOSPC, "No space left", "/run/file"),
            1,
            "error: the disk is full while writing /run/file. Make room",
        ),
        (
            jax.errors.JaxRuntimeError(
                "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore"
            ),
            1,
            "error: out of memory on cpu: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nLower BATCH_SIZE",
        ),
        (OSError(errno.EIO, "Input/output error"), 1, "error: [Errno 5] Input/output error"),
        (ZeroDivisionError("a bug"), 1, "Traceback"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(capsys, raised, code, said):
    def main(command_line):
        if raised is not None:
            raise raised

    assert program.exit_code(main, []) == code
    output = capsys.readouterr().err
    assert said in output
    assert ("Traceback" in output) == (type(raised) is ZeroDivisionError)


def test_a_program_that_saves_nothing_does_not_say_that_it_did(capsys):
    def main(command_line):
        raise Preempted

    assert program.exit_code(main, [], resumable=False) == 1
    assert (
        "stopped by SIGTERM before the end. The same command starts from the beginning.\n"
        in capsys.readouterr().err
    )


def test_data_is_prepared_where_the_cache_is(gin_file, capsys, tmp_path):
    assert program.exit_code(prepare.main, [gin_file]) == 0
    output = capsys.readouterr()
    assert "1 tasks with 20 training examples and 1 evaluation sets are prepared." in output.out
    assert "practice corpus" in output.err
    assert len(list((tmp_path / "cache" / "flan_jax").rglob("tokens.arrow"))) == 2
    assert not (tmp_path / "runs").exists()


def test_prompts_of_training_and_of_evaluation(settings_of):
    data = settings_of(
        "--gin.Prompts.shots=2",
        "--gin.eval/Prompts.instructions=none",
        "--gin.train/Prompts.shots=3",
    )[0].data
    assert data.train_prompts == Prompts(shots=3)
    assert data.eval_prompts == Prompts(shots=2, instructions="none")


def test_several_clusters_are_held_out(settings_of):
    data = settings_of("--gin.MIXTURE=practice", "--gin.HELD_OUT=['nli', 'sentiment']")[0].data
    assert data.split().held_out == ("rte", "cb", "wnli", "sst2")


def test_mixture(gin_file, capsys, tmp_path):
    few = [gin_file, "--gin.DataConfig.examples_per_dataset=20"]
    assert (
        program.exit_code(
            mixture.main, [*few, "flan2021_7_clusters_1_each", f"--picture={tmp_path / 'm.html'}"]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert re.search(r"aeslc +summarization +20 +0 +20 +14\.3%", shown)
    assert "held out: nothing" in shown
    page = (tmp_path / "m.html").read_text()
    assert "<svg" in page and "aeslc" in page and "Filtered: rows that the task leaves out" in page
    assert program.exit_code(mixture.main, [*few, "sst2", "--diff=cola"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"sst2 +100\.00% +- +-100\.00", shown) and re.search(
        r"cola +- +100\.00% +\+100\.00", shown
    )


def test_mixture_errors(refused, tmp_path):
    assert "Did you mean 'flan2021'" in refused(mixture.main, "flan202")
    assert "unknown cluster to hold out 'nlu'" in refused(
        mixture.main, "practice", "--held_out=nlu"
    )
    few = ("rte", "--gin.DataConfig.examples_per_dataset=5", "--gin.DataConfig.workers=0")
    assert "ends in .png, .svg, .pdf or .html" in refused(
        mixture.main, *few, f"--picture={tmp_path / 'x.txt'}"
    )


@pytest.mark.parametrize(
    ("main", "flags"),
    [
        (
            train.main,
            ["--gin_file=flan_mixture.gin", "--run_dir=gs://bucket/run"],
        ),
        (ablate.main, ["--gin_file=leave_one_cluster_out.gin", "--sweep_dir=gs://bucket/sweep"]),
        (ablate.main, ["run", "--index=0", "--plan=gs://bucket/sweep"]),
    ],
)
def test_a_bucket_that_is_not_mounted_is_no_folder(main, flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(flags)
    assert "Mount the bucket" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def leaking(tmp_path, monkeypatch):
    """A mixture that trains on the rows of a held-out task, under another name in another cluster."""
    monkeypatch.setattr(registry, "TASKS", dict(registry.TASKS))
    monkeypatch.setattr(mixtures, "TASKS", registry.TASKS)
    monkeypatch.setattr(mixtures, "MIXTURES", dict(mixtures.MIXTURES))
    registry.register(
        dataclasses.replace(registry.get_task("rte"), name="rte_again", cluster="disguise")
    )
    mixtures.register_mixture(mixtures.Mixture("leaking", ("rte", "rte_again", "sst2")))


def test_leakage(gin_file, capsys, refused, leaking):
    said = refused(leakage.main, gin_file, "leaking", "--held_out=nli")
    assert said.startswith(
        "the training mixture leaks into the held-out tasks in 1 ways:\n  rte <- rte_again: the same source"
    )
    assert program.exit_code(leakage.main, [gin_file, "leaking", "--held_out=sentiment"]) == 0
    assert "no leak" in capsys.readouterr().out
    assert "nothing is held out" in refused(leakage.main, gin_file, "leaking")


def test_the_audit_of_a_run_is_in_its_sweeps_report(gin_file, refused, leaking, tmp_path):
    run_dir = tmp_path / "sweep" / "runs" / "0a"
    run_dir.mkdir(parents=True)
    settings = [gin_file, "--gin.MIXTURE=leaking", "--gin.HELD_OUT=nli"]
    line = {
        "index": 0,
        "id": "0a",
        "name": "HELD_OUT=nli",
        "point": {"HELD_OUT": "nli"},
        "directory": "runs/0a",
    }
    write_json(tmp_path / "sweep" / "plan.json", {"axes": {"HELD_OUT": ["nli"]}})
    (tmp_path / "sweep" / "runs.jsonl").write_text(json.dumps(line) + "\n")
    assert "holds no run" in refused(leakage.main, *settings, f"--run_dir={run_dir}")
    loaded = gin_settings.resolve(
        [gin_file.partition("=")[2]], ["MIXTURE = 'leaking'", "HELD_OUT = 'nli'"]
    )
    write_json(
        run_dir / "manifest.json",
        manifest.run_metadata(loaded[0].model, loaded[0].data, make_mesh(None)),
    )
    (run_dir / "config.gin").write_text(loaded[1])
    assert (
        "1 of 1 combinations"
        in sweep_report.write(tmp_path / "sweep").with_suffix(".md").read_text()
    )
    assert "held_out is nli in the run, sentiment now" in refused(
        leakage.main, *settings[:2], "--held_out=sentiment", f"--run_dir={run_dir}"
    )
    assert "leaks into the held-out tasks" in refused(leakage.main, f"--run_dir={run_dir}")
    text = sweep_report.write(tmp_path / "sweep").with_suffix(".md").read_text()
    assert "| HELD_OUT=nli | rte | rte_again | the same source |" in text and "pairs" not in text


def test_a_run_refuses_a_leak(gin_file, refused, leaking, tmp_path):
    flags = [
        "--gin.MIXTURE=leaking",
        "--gin.HELD_OUT=nli",
        "--gin.DataConfig.max_leakage=0.01",
        f"--run_dir={tmp_path / 'run'}",
    ]
    assert "rte <- rte_again: the same source" in refused(train.main, gin_file, *flags)


def test_tokenizer(gin_file, tmp_path, capsys, refused):
    assert (
        program.exit_code(tokenizer.main, [gin_file, f"--gin.TOKENIZER={tmp_path}/small.model"])
        == 0
    )
    pieces = load_tokenizer(tmp_path / "small.model").vocab_size
    assert 300 < pieces <= 2048
    assert f"{pieces} pieces" in capsys.readouterr().out
    assert "name a *.model file" in refused(
        tokenizer.main, gin_file, "--gin.TOKENIZER=nowhere/small.model"
    )
