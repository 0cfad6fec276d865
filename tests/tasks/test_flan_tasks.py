"""Every task in tasks/: its templates, and its schema against TFDS itself."""

import dataclasses
import itertools
import re
from pathlib import Path

import pytest

import tasks as flan
from flan_jax.tasks.clusters import CLUSTER_TITLES, RELEASED
from flan_jax.tasks.mixtures import MIXTURES, mixture_or_task
from flan_jax.tasks.sources import SPLITS
from flan_jax.tasks.templates import OPTIONS, Template

FLAN = {task.name: task for task in mixture_or_task(flan.FLAN2021.name)}
every_task = pytest.mark.parametrize("name", FLAN)


def practice_rows(task, count, split="train", fresh=False):
    """The first rows of a task's practice corpus."""
    source = dataclasses.replace(task.sandbox, fresh=fresh, **{split: count})
    return list(source.rows(split))


def test_seventy_tasks_of_sixty_two_datasets_in_twelve_clusters():
    assert len(FLAN) == 70
    assert len({task.dataset or task.name for task in FLAN.values()}) == 62
    assert {task.cluster for task in FLAN.values()} == set(CLUSTER_TITLES)
    assert {name for members in RELEASED.values() for name in members} == set(FLAN) - {
        "wsc273"
    }


def test_the_mixtures_of_the_ablations():
    sizes = {name: len(mixture_or_task(name)) for name in MIXTURES}
    assert [sizes[f"flan2021_{n}_clusters"] for n in range(1, 8)] == [
        11,
        19,
        25,
        29,
        33,
        36,
        38,
    ]
    assert [sizes[f"flan2021_{n}_clusters_15_tasks"] for n in range(1, 8)] == [
        11,
        *[15] * 6,
    ]
    assert [sizes[f"flan2021_7_clusters_{n}_each"] for n in range(1, 5)] == [
        7,
        14,
        20,
        25,
    ]


@every_task
def test_ten_templates(name):
    task = FLAN[name]
    assert len(set(task.templates)) == 10
    assert sum(template.turned_around for template in task.templates) <= 3
    first = task.templates[0]
    assert not first.turned_around
    assert task.options is None or first.inputs.endswith("{options}")
    for template in task.templates:
        assert template.turned_around == (template.targets != "{answer}")
    unseen = [
        t
        for t in task.templates
        if task.options and not t.turned_around and OPTIONS not in t.fields
    ]
    assert len(unseen) <= 2


@every_task
def test_templates_are_cleanly_typed(name):
    for template in FLAN[name].templates:
        for pattern in (template.inputs, template.targets):
            assert pattern == pattern.strip()
            assert not re.search(
                r"  | \n|\n\n\n|\?\?|\.\.(?!\.)| [,.;:?!](?!\.)|,,", pattern
            ), pattern
            assert not re.search(r"\{options\}[^\n]|[^\n]\{options\}", pattern), pattern
            # A small letter that stands alone is "a", or a label such as "b." or "(c)".
            assert not re.search(r"(?<![\w'’{&.-])[b-z](?![\w'’}&.:)-])", pattern), (
                pattern
            )


def test_no_two_templates_are_the_same_text():
    """Tasks may share all their templates; else no input pattern comes twice."""
    seen: dict[str, tuple[Template, ...]] = {}
    for task in FLAN.values():
        for template in task.templates:
            text = re.sub(r"\{\w+\}", "{}", template.inputs).casefold()
            assert seen.setdefault(text, task.templates) in (task.templates,), (
                task.name,
                template.inputs,
            )


@every_task
@pytest.mark.parametrize("fresh", [False, True])
def test_practice_rows_in_every_template(name, fresh):
    task = FLAN[name]
    rows = practice_rows(task, 25, fresh=fresh)
    for row in rows + practice_rows(task, 5, "test", fresh=fresh):
        example = task.example(row)
        assert example is not None
        task.check_fields(example)
        for template in task.templates:
            inputs, targets = template.render(example)
            assert inputs and targets
            assert not re.search(r"\?\?|[!?] ?\?(?!\w)|\{|\}", inputs + targets), inputs


def _asked_fields(task):
    """The fields that all templates show that ask for the answer, without the list of options."""
    asking = [set(t.fields) for t in task.templates if not t.turned_around]
    return set.intersection(*asking) - {OPTIONS}


@pytest.mark.parametrize("name", [name for name in FLAN if FLAN[name].options])
def test_a_task_with_options_has_a_cloze_that_lists_none(name):
    task = FLAN[name]
    assert _asked_fields(task) <= task.cloze.fields
    assert not re.search(r"  | \n|\n\n|\?\?|\.\.| [,.;:?!]", task.cloze.text)
    for row in practice_rows(task, 25) + practice_rows(task, 5, "test"):
        example = task.example(row)
        continuations = set()
        for option in example[OPTIONS]:
            inputs, targets = task.cloze.render({**example, "answer": option})
            text = f"{inputs} {targets}"
            assert "OPTIONS" not in text
            assert inputs and targets
            # One instruction may list the options in words; a cloze shows one of them.
            assert text.count(task.cloze.words.get(option, option)) >= 1
            continuations.add(targets)
            for field in task.cloze.fields - {"answer"}:
                assert example[field].strip() in text
        assert len(continuations) == len(set(example[OPTIONS]))


def test_premises_are_fields_that_an_instruction_shows():
    with_premise = [task for task in FLAN.values() if task.premise]
    assert {task.name for task in with_premise if task.cluster == "nli"} == {
        task.name for task in FLAN.values() if task.cluster == "nli"
    }
    for task in with_premise:
        shown = set().union(*(template.fields for template in task.templates))
        assert set(task.premise) <= shown, task.name


@every_task
def test_unlabelled_rows_are_left_out(name):
    """TFDS gives -1 as the label of rows without one: it must not pick the last option."""
    task = FLAN[name]
    (row,) = practice_rows(task, 1)
    labels = [key for key in ("label", "label-coarse") if isinstance(row.get(key), int)]
    if task.options is None or not labels:
        pytest.skip("its answer is no class label")
    assert task.example(row | dict.fromkeys(labels, -1)) is None


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@every_task
def test_tfds_itself_stores_and_returns_our_rows(name, tfds_folder):
    """Practice rows are written as TFRecords by the real builder's features, and read again.

    TFDS refuses unknown names and versions, and rows that do not have the fields of the schema.
    """
    import tensorflow_datasets as tfds

    task = FLAN[name]
    builder = tfds.builder(task.source.name, data_dir=tfds_folder / name)
    Path(builder.data_path).mkdir(parents=True)
    rows = practice_rows(task, 6) + practice_rows(task, 6, fresh=True)
    assert set(rows[0]) == set(builder.info.features)
    writer = tfds.core.SequentialWriter(builder.info, max_examples_per_shard=1000)
    writer.initialize_splits(["train"])
    writer.add_examples({"train": rows})
    writer.close_all()
    source = dataclasses.replace(
        task.source, train="train[:7]", data_dir=str(tfds_folder / name)
    )
    assert [task.example(row) for row in source.rows("train")] == [
        task.example(row) for row in rows[:7]
    ]


@every_task
def test_splits_are_disjoint(name):
    """Two splits of a task that read one TFDS split read different parts of it."""
    source, size = FLAN[name].source, 100_000
    parts = {}
    for split in SPLITS:
        expression = getattr(source, split)
        if expression is not None:
            base, start, stop = re.fullmatch(
                r"(\w+?)(?:\[(-?\d*):(-?\d*)\])?", expression
            ).groups()
            parts[split] = (
                base,
                set(
                    range(size)[slice(int(start or 0) or None, int(stop or 0) or None)]
                ),
            )
    for (base, rows), (other, others) in itertools.combinations(parts.values(), 2):
        assert base != other or not rows & others
