"""launch/evaluate.py."""

import dataclasses
import itertools
import json

import jax
import pytest
from flax import linen as nn
from sweep_directory import write_jsonl

import tasks  # noqa: F401 (registers)
from flan_jax.cli import evaluate, program  # fmt: skip
from flan_jax.errors import InputError
from flan_jax.models.config import config_fields
from flan_jax.models.params import dummy_batch
from flan_jax.tasks import task as registry
from flan_jax.weights import orbax


def test_evaluating_a_run_that_never_was(refused, gin_file, tmp_path):
    said = refused(evaluate.main, gin_file, f"--run_dir={tmp_path / 'absent'}")
    assert said == (
        f"there is no run in {tmp_path / 'absent'} whose checkpoint could be scored. Name a run with --run_dir, or any "
        "checkpoint with --gin.WARM_START"
    )
    said = refused(evaluate.main, gin_file, f"--gin.WARM_START={tmp_path / 'absent'}")
    assert said.startswith(
        f"there is no folder {tmp_path / 'absent'} to take parameters from"
    )


def test_what_cannot_be_evaluated_is_named(gin_file, capsys, refused, blind):
    assert (
        program.exit_code(evaluate.main, [gin_file, blind, "--tasks=dim", "--dry_run"])
        == 0
    )
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
        assert (
            said.startswith("none of the tasks to evaluate can be evaluated:")
            and reason in said
        )
    assert "Did you mean 'wnli'?" in refused(
        evaluate.main, gin_file, blind, "--tasks=sst2,wnly"
    )


@pytest.fixture
def checkpoint(settings_of, tmp_path):
    """The flag of a checkpoint with random parameters."""
    settings, _ = settings_of()
    initial = settings.model.build().init(
        jax.random.key(0), dummy_batch(settings.model)
    )
    orbax.save_params(tmp_path / "tuned", nn.unbox(initial["params"]))
    return f"--gin.WARM_START={tmp_path / 'tuned'}"


def write_split(folder, task, file, split="test"):
    """Writes practice rows where SOURCE = 'jsonl' looks for a split."""
    rows = registry.get_task(task).sandbox.rows(split)
    (folder / task).mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / task / f"{file}.jsonl", itertools.islice(rows, 4))


def test_a_checkpoint_is_scored_from_its_test_rows_alone(
    gin_file, checkpoint, tmp_path, capsys
):
    # FLAN takes the rows of `validation` from train.jsonl, and those of `test` from validation.jsonl.
    data = tmp_path / "data"
    write_split(data, "rte", "validation")
    flags = [
        gin_file, checkpoint, "--tasks=rte", "--gin.SOURCE=jsonl",
        f"--gin.DATA_DIR={data}", f"--run_dir={tmp_path / 'scored'}",
    ]  # fmt: skip
    assert program.exit_code(evaluate.main, [*flags, "--dry_run"]) == 0
    shown = capsys.readouterr()
    count = 4 * len(registry.get_task("rte").eval_templates)
    assert shown.out.splitlines() == [f"score rte test: {count} prompts"]
    assert "without best dev. template:\n  rte: no file" in shown.err

    assert program.exit_code(evaluate.main, flags) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    start = lines.index(f"scores of {tmp_path / 'tuned'}, step 0")
    assert lines[start + 1].split() == ["task", "chance", "score", "best", "template"]
    name, _, score, best = lines[start + 2].split()
    assert (name, best) == ("rte", "-")
    assert f"score {count}/{count}" in shown.err
    assert "training" not in shown.err
    written = json.loads((tmp_path / "scored" / "eval" / "rte.json").read_text())
    assert score == f"{written['after']['mean']:.1f}"
    assert written["after"]["best_dev_template"] is None


def test_few_shot_exemplars_are_drawn_from_the_train_rows(
    gin_file, checkpoint, tmp_path, refused, capsys
):
    data = tmp_path / "data"
    write_split(data, "rte", "validation")
    flags = [
        gin_file, checkpoint, "--tasks=rte", "--gin.SOURCE=jsonl", "--dry_run",
        f"--gin.DATA_DIR={data}", "--gin.eval/Prompts.shots=1",
        "--gin.DataConfig.eval_prompts=@eval/Prompts()",
    ]  # fmt: skip
    assert "train.jsonl" in refused(evaluate.main, *flags)


def test_a_run_from_before_a_setting_is_scored_with_its_default(settings_of):
    settings, _ = settings_of()
    identity = {
        "model": config_fields(settings.model),
        "warm_start": None,
        "row_format": dataclasses.asdict(settings.row_tokenizer().format),
    }
    data = {"mixture": "rte", "tokenizer": "practice"}
    manifest = json.loads(json.dumps({"data": data, "identity": identity}))
    del manifest["identity"]["model"]["logits_softcap"]
    del manifest["identity"]["row_format"]["prefix_lm"]
    evaluate._check_same_run(settings, "run", manifest)
    manifest["identity"]["model"]["dropout_rate"] = 0.5
    with pytest.raises(InputError, match="run holds a run of other settings"):
        evaluate._check_same_run(settings, "run", manifest)
