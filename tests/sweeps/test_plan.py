import dataclasses
import shutil
from pathlib import Path

import pytest

import tasks
from flan_jax.cli import gin_settings
from flan_jax.data.tokenizers import tokenizer_file
from flan_jax.errors import InputError
from flan_jax.sweeps import plan as ablate
from flan_jax.sweeps.plan import AblationConfig, make_plan
from flan_jax.sweeps.sweep_dir import make_folders, read_plan, write_plan
from flan_jax.tasks import Mixture, register_mixture
from flan_jax.tasks.task import TASKS
from tasks.practice_skills import PRACTICE_SKILLS

TINY = [
    "MIXTURE = 'practice'", "STEPS = 4", "BATCH_SIZE = 8", "EncoderDecoderConfig.emb_dim = 32", "EncoderDecoderConfig.mlp_dim = 32",
]  # fmt: skip
register_mixture(
    Mixture("practice_and_skills", tasks.PRACTICE.tasks, beside=PRACTICE_SKILLS.names())
)
FILES = ["flan_mixture.gin", "models/t5_nano.gin"]


def planned(axes, bindings=(), sweep_dir="sweep", base=None):
    config = AblationConfig(axes=axes, base=base)
    return make_plan(
        config,
        FILES,
        [*TINY, *bindings],
        resolve=gin_settings.resolve,
        sweep_dir=Path(sweep_dir),
    )


def test_each_cluster_that_can_be_evaluated_is_held_out_once():
    plan = planned({"HELD_OUT": "each"})
    held_out = [run.point["HELD_OUT"] for run in plan.runs]
    assert held_out == [
        "nli", "reading_comp", "closed_book_qa", "commonsense", "sentiment", "paraphrase", "coreference",
        "struct_to_text", "misc",
    ]  # fmt: skip
    assert [run.index for run in plan.runs] == list(range(9))
    assert plan.axes == {"HELD_OUT": held_out}
    assert plan.left_out == []


def test_what_is_beside_a_mixture_is_trained_on_and_not_held_out():
    alone = planned({"HELD_OUT": "each"})
    beside = planned({"HELD_OUT": "each"}, ["MIXTURE = 'practice_and_skills'"])
    assert beside.axes == alone.axes and beside.left_out == []
    (nli, *_) = beside.data.values()
    skills = {task for task in nli.split().train if task.startswith("skill_")}
    assert "skill_value" in skills and len(skills) > 5


def test_a_cluster_without_test_rows_is_left_out_and_said(monkeypatch):
    for task in [*TASKS.values()]:
        if task.cluster == "sentiment":
            source = dataclasses.replace(task.source, test=None)
            monkeypatch.setitem(
                TASKS, task.name, dataclasses.replace(task, source=source)
            )
    plan = planned({"HELD_OUT": "each"})
    assert "sentiment" not in plan.axes["HELD_OUT"] and plan.left_out == ["sentiment"]
    assert planned({"HELD_OUT": plan.axes["HELD_OUT"]}).left_out == []
    with pytest.raises(
        InputError, match="no cluster of 'sst2' has a task with a test split"
    ):
        planned({"HELD_OUT": "each"}, ["MIXTURE = 'sst2'"])


def test_the_axes_are_crossed_the_last_fastest():
    plan = planned({"HELD_OUT": ["nli", "sentiment"], "SEED": [0, 1]})
    assert [run.name for run in plan.runs] == [
        "HELD_OUT=nli SEED=0", "HELD_OUT=nli SEED=1", "HELD_OUT=sentiment SEED=0", "HELD_OUT=sentiment SEED=1",
    ]  # fmt: skip
    assert len({run.id for run in plan.runs}) == 4


def test_each_is_crossed_with_other_axes_in_the_order_of_the_axes():
    plan = planned({"SEED": [0, 1], "HELD_OUT": "each"})
    assert plan.runs[0].point == {"SEED": 0, "HELD_OUT": "nli"}
    assert [run.point["SEED"] for run in plan.runs] == [0] * 9 + [1] * 9


@pytest.mark.parametrize(
    "axes",
    [
        {"MIXTURE": [f"flan2021_{n}_clusters" for n in range(1, 8)], "HELD_OUT": [["nli", "commonsense", "closed_book_qa"]]},
        {"MIXTURE": [f"flan2021_7_clusters_{n}_each" for n in (1, 2, 3, 4)]},
        {"train/Prompts.templates": [1, 4, 10]},
        {"train/Prompts.instructions": ["none", "dataset_name", "natural"], "SEED": [0, 1]},
        {"train/Prompts.shots": [0, 4]},
        {"gin_file": ["models/t5_1_1_small.gin", "models/t5_1_1_base.gin"]},
    ],
)  # fmt: skip
def test_the_papers_ablations_are_plans(axes):
    plan = planned(axes)
    expected = 1
    for values in axes.values():
        expected *= len(values)
    assert len(plan.runs) == len({run.id for run in plan.runs}) == expected


def test_a_runs_identity_is_what_its_results_depend_on():
    def only(*bindings, **options):
        return planned({"HELD_OUT": ["nli"]}, bindings, **options).runs[0].id

    first = only()
    assert only() == first
    assert only("DataConfig.cache_dir = '/elsewhere'", sweep_dir="other") == first
    assert only(base="base_lm.gin", sweep_dir="other") == only(base="base_lm.gin")
    changed = [
        only("SEED = 1"), only("STEPS = 5"), only("train/Prompts.templates = 4"), only("LEARNING_RATE = 0.5"),
        only("EncoderDecoderConfig.num_heads = 2"), only(base="base_lm.gin"),
        only("WARM_START = 'elsewhere'", "MODEL = @EncoderDecoderConfig()", "TOKENIZER = 'practice'"),
    ]  # fmt: skip
    assert len({first, *changed}) == 8


def test_a_changed_evaluation_is_the_same_run_to_be_scored_again():
    first, *others = (
        planned({"HELD_OUT": ["nli"]}, [binding] if binding else []).runs[0]
        for binding in (
            "",
            "EvalConfig.scoring = 'mean'",
            "DataConfig.eval_examples = 7",
            "eval/Prompts.shots = 1",
        )
    )
    assert {run.id for run in others} == {first.id}
    assert len({first.evaluation, *(run.evaluation for run in others)}) == 4


def test_a_changed_template_is_another_run(monkeypatch):
    first = planned({"HELD_OUT": ["nli"]}).runs[0].id
    task = TASKS["rte"]
    monkeypatch.setitem(
        TASKS, "rte", dataclasses.replace(task, templates=task.templates[::-1])
    )
    monkeypatch.setattr(ablate, "_FINGERPRINTS", {})
    assert planned({"HELD_OUT": ["nli"]}).runs[0].id != first


def test_each_cluster_is_trained_on_alone():
    plan = planned({"DataConfig.only": "each"}, ["HELD_OUT = None"])
    trained = [run.point["DataConfig.only"] for run in plan.runs]
    assert len(trained) == len(set(trained)) == 9
    for run in plan.runs:
        split = plan.data[run.id].split()
        assert run.name == f"only={run.point['DataConfig.only']}"
        assert run.point["DataConfig.only"] not in split.clusters
        assert len(split.clusters) >= 7
    with pytest.raises(
        InputError, match="HELD_OUT and DataConfig.only are both 'each'"
    ):
        planned({"DataConfig.only": "each", "HELD_OUT": "each"})


def test_points_that_are_the_same_run_are_done_once():
    assert len(planned({"DataConfig.workers": [1, 2], "HELD_OUT": ["nli"]}).runs) == 1


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"SEED": []}, "has no values"),
        ({"SEED": "each"}, "write a list"),
        ({"SEED": [1, 1]}, "has 1 twice"),
        ({"HELD_OUT": ["sentimental"]}, "sentiment"),
        ({"SEEED": [1]}, "SEED"),
        ({"gin_file": ["models/t5_giant.gin"]}, "t5_giant"),
        ({"LENGTHS": [{"inputs": 64, "targets": "fit"}]}, "'fit'.*write the number"),
        ({"LENGTHS": [{"inputs": 64}]}, "LENGTHS is"),
        (
            {"eval/Prompts.shots": [0, 1]},
            "differ in their evaluation alone.*EvalConfig.more",
        ),
    ],
)
def test_axes_that_make_no_sense_are_refused(axes, message):
    with pytest.raises(InputError, match=message):
        planned(axes)


def test_what_is_planned_is_read_back(tmp_path):
    plan = planned({"HELD_OUT": ["nli", "sentiment"]}, sweep_dir=tmp_path)
    make_folders(tmp_path)
    write_plan(plan, tmp_path, FILES)
    again = read_plan(tmp_path)
    assert again.runs == plan.runs
    for run in again.runs:
        settings, _ = gin_settings.resolve(
            [str(tmp_path / "configs" / f"{run.id}.gin")], []
        )
        assert settings.data.held_out == run.point["HELD_OUT"]
        assert settings.training.steps == 4


def test_a_run_whose_files_have_changed_is_another(tmp_path):
    rows = tmp_path / "rte" / "train.jsonl"
    rows.parent.mkdir()
    rows.write_text("{}\n")
    tokenizer = Path(shutil.copy(tokenizer_file("practice"), tmp_path / "own.model"))
    bindings = [
        "SOURCE = 'jsonl'",
        f"DATA_DIR = {str(tmp_path)!r}",
        f"TOKENIZER = {str(tokenizer)!r}",
    ]

    def identity():
        return planned({"SEED": [0]}, bindings).runs[0].id

    ids = [identity(), identity()]
    rows.write_text("{}\n{}\n")
    ids.append(identity())
    tokenizer.write_bytes(tokenizer.read_bytes() + b"x")
    ids.append(identity())
    assert ids[0] == ids[1] and len(set(ids)) == 3
