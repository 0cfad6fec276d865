"""launch/train.py: bad input ends with exit code 2 and says what to write."""

import re

import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.cli import train  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--gin.STEPZ=1", "unknown gin macro 'STEPZ'. Did you mean 'STEPS'?"),
        ("--gin.TrainConfig.log_evry=1", "'TrainConfig' doesn't have a parameter named 'log_evry'.*Did you mean 'log_every'?"),
        ("--gin.TrainConfg.steps=1", "No configurable matching 'TrainConfg'.*Did you mean 'TrainConfig'?"),
        ("--gin.MODEL=@DecoderConfg()", "No configurable matching reference '@DecoderConfg.*Did you mean 'DecoderConfig'?"),
        ("--gin.MODEL=big", "MODEL is 'big'; write MODEL = @from_warm_start(), @EncoderDecoderConfig() or @DecoderConfig()"),
        ("--gin.MIXTURE=flan2022", "unknown mixture or task 'flan2022'. Did you mean 'flan2021'?"),
        ("--gin.MIXTURE=rtee", "unknown mixture or task 'rtee'. Did you mean 'rte'?"),
        ("--gin.HELD_OUT=nlu", "unknown cluster to hold out 'nlu'. Did you mean 'nli'?"),
        ("--gin.HELD_OUT=nli", "holding nli out leaves no task to train on"),
        ("--gin.LENGTHS={'inputs': 0, 'targets': 16}", "LENGTHS is {'inputs': 0, 'targets': 16}; write .*Inputs are at least 1"),
        ("--gin.LENGTHS={'inputs': 64, 'targets': 1}", "LENGTHS is .*targets at least 2, as EOS takes one"),
        ("--gin.LENGTHS={'inputs': 64}", "LENGTHS is {'inputs': 64}; write"),
        ("--gin.LENGTHS=64", "LENGTHS is 64; it must be .*Mapping.*. Write it as in LENGTHS = {'inputs': 1024, 'targets': 256}"),
        ("--gin.SOURCE=sandbx", "unknown SOURCE 'sandbx'. Did you mean 'sandbox'?"),
        ("--gin.SOURCE=jsonl", "SOURCE = 'jsonl' needs DATA_DIR"),
        ("--gin.DATA_DIR=/nowhere/at/all", "DATA_DIR is /nowhere/at/all, but there is no such folder"),
        ("--gin.TOKENIZER=/nowhere/spiece.model", "there is no tokenizer /nowhere/spiece.model"),
        ("--profile=3:2", "--profile=3:2 is not a span of this run's 3 steps; write the first and the last"),
        ("--gin.TrainConfig.compiler_options={'xla_no_such': 1}", "compiler_options sets xla_no_such to 1, which this compiler for cpu does not"),
        ("--gin.BATCH_SIZE=12", "BATCH_SIZE 12 does not divide .*use a multiple of 8"),
        ("--gin.BATCH_SIZE=0", "BATCH_SIZE 0 does not divide .*use a multiple of 8"),
        ("--gin.MESH={'data': 3}", "MESH gives the axis 'data' 3 devices, which does not divide the 8 cpu devices"),
        ("--gin.MESH={'dta': 8}", "MESH names the axis dta; the axes are data, fsdp, tensor"),
        ("--gin.MESH=8", "MESH is 8; it must be .*Mapping.*. Write it as in MESH = {'data': -1}"),
        ("--gin.OptimizerConfig.name=adam", "unknown optimizer 'adam'. Did you mean 'adamw'?"),
        ("--gin.OptimizerConfig.schedule=rsqr", "unknown schedule 'rsqr'. Did you mean 'rsqrt'?"),
        ("--gin.MESH={'data': 'all'}", "MESH is {'data': 'all'}; it must be Mapping.str, int. .*Write it as"),
        ("--gin.MESH={'data': 1.5}", "MESH is {'data': 1.5}; it must be Mapping"),
        ("--gin.HELD_OUT=[1, 2]", "HELD_OUT is .1, 2.; it must be str . Sequence.str. .*Write it as in HELD_OUT = 'nli'"),
        ("--gin.BATCH_SIZE=a", "BATCH_SIZE is 'a'; it must be int. Write it as in BATCH_SIZE = 128"),
        ("--gin.DataConfig.batch_size=a", "DataConfig.batch_size is 'a'; it must be int$"),
        ("--gin.STEPS=0", "TrainConfig.steps is 0; it must be at least 1"),
        ("--gin.STEPS=many", "STEPS is 'many'; it must be int. Write it as in STEPS = 1000"),
        ("--gin.STEPS=1e3", "STEPS is 1000.0; it must be int. Write"),
        ("--gin.STEPS=True", "STEPS is True; it must be int. Write"),
        ("--gin.LEARNING_RATE=fast", "LEARNING_RATE is 'fast'; it must be float. Write it as in LEARNING_RATE = 1e-3"),
        ("--gin.DataConfig.packing=maybe", "DataConfig.packing is 'maybe'; it must be bool"),
        ("--gin.CheckpointConfig.every=0", "CheckpointConfig.every is 0; it must be at least 1"),
        ("--gin.EncoderDecoderConfig.emb_dim=0", "emb_dim is 0; write a whole number of at least 1"),
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
        ("--gin.HELD_OUT=a,b", "--gin.HELD_OUT=a,b is not a value that gin can read"),
    ],
)  # fmt: skip
def test_bad_input_says_what_and_ends_with_2(
    refused, gin_file, tmp_path, flag, message
):
    said = refused(train.main, gin_file, f"--run_dir={tmp_path / 'run'}", flag)
    assert re.search(re.sub(r"([?()])", r"\\\1", message), said, re.DOTALL), said
    assert not list((tmp_path / "cache").rglob("*.arrow")), (
        "data was prepared before the mistake was found"
    )


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--gin.WARM_START=/no/such", "there is no folder /no/such to take parameters from"),
        ("--gin.OptimizerConfig.settings={'decay': 1}", "OptimizerConfig.settings for adafactor: "),
        ("--gin.OptimizerConfig.schedule=rsqrt", "an rsqrt schedule with warmup_steps=0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--dry_run"]])
def test_a_dry_run_refuses_what_training_refuses(
    refused, gin_file, tmp_path, flag, message, more
):
    said = refused(train.main, gin_file, f"--run_dir={tmp_path / 'run'}", flag, *more)
    assert said.startswith(message)
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_a_dry_run_refuses_a_vocabulary_that_training_refuses(
    refused, gin_file, tmp_path
):
    too_small = "--gin.EncoderDecoderConfig.vocab_size=64"
    flags = [gin_file, f"--run_dir={tmp_path / 'run'}", too_small]
    said = refused(train.main, *flags, "--dry_run")
    assert said == refused(train.main, *flags)
    assert 'Set vocab_size of "EncoderDecoderConfig" to at least that' in said


def test_a_run_directory_that_cannot_be_written(refused, gin_file, tmp_path):
    (tmp_path / "taken").write_text("")
    said = refused(train.main, gin_file, f"--run_dir={tmp_path / 'taken'}")
    assert said.startswith(
        f"the run directory {tmp_path / 'taken'} cannot be written ("
    )


@pytest.mark.parametrize("cluster", ["dark", "turned"])
def test_a_held_out_cluster_that_cannot_be_evaluated_is_refused(
    gin_file, refused, blind, tmp_path, cluster
):
    flags = [
        "--gin.MIXTURE=dim",
        f"--gin.HELD_OUT={cluster}",
        f"--run_dir={tmp_path / 'new'}",
    ]
    assert "none of the tasks to evaluate can be evaluated" in refused(
        train.main, gin_file, *flags
    )


def test_a_run_refuses_a_leak(gin_file, refused, leaking, tmp_path):
    flags = [
        "--gin.MIXTURE=leaking",
        "--gin.HELD_OUT=nli",
        "--gin.DataConfig.max_leakage=0.01",
        f"--run_dir={tmp_path / 'run'}",
    ]
    assert "rte <- rte_again: the same source" in refused(train.main, gin_file, *flags)
