"""What training and a dry run refuse before the first step, and what they begin with."""

import dataclasses

import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.data.config import DataConfig
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training.checkpoints import CheckpointConfig
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.training.setup import check_warm_start, prepare_run

MODEL = EncoderDecoderConfig(
    vocab_size=4096,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
)


@pytest.fixture
def settings(tmp_path):
    """A run of three steps on a few practice rows."""
    data = DataConfig(
        mixture="rte",
        held_out=None,
        source="sandbox",
        data_dir=None,
        tokenizer="practice",
        lengths={"inputs": 64, "targets": 16},
        batch_size=8,
        seed=0,
        examples_per_dataset=20,
        eval_examples=4,
        cache_dir=str(tmp_path / "cache"),
        workers=0,
    )
    return Settings(
        data=data,
        model=MODEL,
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainConfig(steps=3, seed=0),
        checkpoints=CheckpointConfig(),
        evaluation=EvalConfig(),
    )


def changed(settings, section, **fields):
    """Returns the settings with other values of one section's fields."""
    new_section = dataclasses.replace(getattr(settings, section), **fields)
    return dataclasses.replace(settings, **{section: new_section})


def token_stores(tmp_path):
    return list((tmp_path / "cache").rglob("*.arrow"))


def test_a_run_is_prepared(settings, tmp_path):
    inputs = prepare_run(settings, make_mesh(None))
    assert list(inputs.data.train) == ["rte"]
    assert inputs.plan.batch_size == 8
    assert inputs.plan.lengths == {"inputs": 64, "targets": 16}
    assert [row.task for row in inputs.summary.tasks] == ["rte"]
    assert inputs.summary.steps == 3
    assert token_stores(tmp_path)


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        (
            "data",
            {"batch_size": 12},
            "BATCH_SIZE 12 does not divide .*use a multiple of 8",
        ),
        (
            "training",
            {"microbatches": 2},
            "BATCH_SIZE 8 does not divide .*use a multiple of 16",
        ),
        (
            "training",
            {"compiler_options": {"xla_no_such": 1}},
            "compiler_options sets xla_no_such to 1, which this compiler for cpu does not",
        ),
        (
            "training",
            {"trainable": "no_such_layer"},
            "trainable is 'no_such_layer', which matches none",
        ),
        ("optimizer", {"schedule": "rsqrt"}, "an rsqrt schedule with warmup_steps=0"),
    ],
)
def test_a_run_is_refused_before_data_is_prepared(
    settings, tmp_path, section, fields, message
):
    with pytest.raises(InputError, match=message):
        prepare_run(changed(settings, section, **fields), make_mesh(None))
    assert not token_stores(tmp_path)


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused(settings):
    message = 'Set vocab_size of "EncoderDecoderConfig" to at least that'
    with pytest.raises(InputError, match=message):
        prepare_run(changed(settings, "model", vocab_size=64), make_mesh(None))


def test_a_new_run_needs_its_warm_start(settings, tmp_path):
    warm = changed(settings, "training", warm_start="/no/such")
    with pytest.raises(InputError, match="there is no folder /no/such"):
        check_warm_start(tmp_path / "run", warm)


def test_a_run_with_checkpoints_does_not_need_its_warm_start(settings, tmp_path):
    (tmp_path / "run" / "checkpoints" / "3").mkdir(parents=True)
    warm = changed(settings, "training", warm_start="/no/such")
    check_warm_start(tmp_path / "run", warm)
