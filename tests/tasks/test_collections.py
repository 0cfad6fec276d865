"""Collections: 2,000 tasks in a folder, a JSON file each, that are made when they are asked for."""

import dataclasses
import functools
import json

import pytest
from toy_tasks import KIND, Rows

from flan_jax.data.config import DataConfig
from flan_jax.errors import InputError
from flan_jax.tasks import clusters, mixtures
from flan_jax.tasks import task as registry
from flan_jax.tasks.clusters import PAPER_VIEW, Split, cluster_view, hold_out
from flan_jax.tasks.mixtures import Mixture, mixture_or_task, register_mixture
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import render_train
from flan_jax.tasks.task import (
    Collection,
    TemplatedTask,
    find_task,
    get_task,
    register_collection,
    task_names,
)
from flan_jax.tasks.templates import FormatTemplate

TASKS = 2000
CATEGORIES = ("qa", "summaries", "titles", "verbs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """task_0000.json to task_1999.json, and categories.json beside them."""
    folder = tmp_path_factory.mktemp("collection")
    categories = {category: [] for category in CATEGORIES}
    (folder / "tasks").mkdir()
    for number in range(TASKS):
        name = f"task_{number:04}"
        category = CATEGORIES[number % len(CATEGORIES)]
        categories[category].append(name)
        task = {
            "definition": f"Definition {number}.",
            "dataset": f"dataset_{number // 10}",
            "cluster": category.upper(),
        }
        (folder / "tasks" / f"{name}.json").write_text(json.dumps(task))
    (folder / "categories.json").write_text(json.dumps(categories))
    return folder


class ToyFolder:
    """Makes tasks from the files of a folder and records which files were read."""

    def __init__(self, folder):
        self.folder = folder
        self.reads = []
        self.find = functools.cache(self._find)

    def names(self):
        return [file.stem for file in sorted((self.folder / "tasks").iterdir())]

    def categories(self):
        return json.loads((self.folder / "categories.json").read_text())

    def _find(self, name):
        file = self.folder / "tasks" / f"{name}.json"
        if not file.exists():
            return None
        self.reads.append(name)
        definition = json.loads(file.read_text())
        return TemplatedTask(
            name=name,
            cluster=definition["cluster"],
            dataset=definition["dataset"],
            source=Rows(2),
            fields=lambda row: {"animal": row["animal"], "answer": row["animal"]},
            templates=(FormatTemplate(f"{definition['definition']} {{animal}}"),),
        )


@pytest.fixture
def toy(folder, monkeypatch):
    tasks = {"toy_kind": KIND}
    collections = {}
    for module in (registry, mixtures):
        monkeypatch.setattr(module, "TASKS", tasks)
    monkeypatch.setattr(mixtures, "MIXTURES", {})
    for module in (registry, mixtures, clusters):
        monkeypatch.setattr(module, "COLLECTIONS", collections)
    toy_folder = ToyFolder(folder)
    collection = Collection(
        name="toys",
        names=toy_folder.names,
        find=toy_folder.find,
        groupings={
            "category": toy_folder.categories,
            "task": lambda: {name: (name,) for name in toy_folder.names()},
        },
    )
    register_collection(collection)
    return toy_folder


def test_listing_reads_no_task(toy):
    assert task_names() == [
        "toy_kind",
        *(f"task_{number:04}" for number in range(TASKS)),
    ]
    assert toy.reads == []


def test_a_task_is_read_when_it_is_asked_for(toy):
    task = get_task("task_0007")
    assert (task.name, task.cluster, task.dataset) == (
        "task_0007",
        "VERBS",
        "dataset_0",
    )
    assert get_task("task_0007") is task
    assert mixture_or_task("task_0007") == [task]
    assert toy.reads == ["task_0007"]
    (row, *_) = render_train(task, task.source.rows("train"), prompts=Prompts())
    assert (row.inputs, row.targets) == ("Definition 7. cat", "cat")


def test_a_registered_task_comes_before_one_of_a_collection(toy):
    mine = dataclasses.replace(KIND, name="task_0007")
    registry.register(mine)
    assert get_task("task_0007") is mine
    assert toy.reads == []


def test_an_unknown_name_reads_no_task(toy):
    assert find_task("task_2000") is None
    with pytest.raises(
        InputError, match="unknown task 'task_190'. Did you mean 'task_19.0'"
    ):
        get_task("task_190")
    with pytest.raises(
        InputError, match="unknown mixture or task 'toyz'. Did you mean 'toys'"
    ):
        mixture_or_task("toyz")
    assert toy.reads == []


def test_the_collection_is_a_mixture(toy):
    assert len(mixture_or_task("toys")) == TASKS
    assert len(toy.reads) == TASKS


def test_a_collection_is_not_in_the_mixture_of_all_registered_tasks(toy):
    register_mixture(Mixture("all"))
    assert mixture_or_task("all") == [KIND]
    assert toy.reads == []


def test_a_mixture_of_one_group(toy):
    register_mixture(Mixture("verbs", tuple(toy.categories()["verbs"][:3])))
    assert toy.reads == []
    assert [task.name for task in mixture_or_task("verbs")] == [
        "task_0003",
        "task_0007",
        "task_0011",
    ]
    assert toy.reads == ["task_0003", "task_0007", "task_0011"]


def test_groups_are_held_out(toy):
    tasks = [get_task(f"task_{number:04}") for number in (0, 1, 2, 5, 10, 11)]
    assert hold_out(tasks, "qa", view=cluster_view("toys/category")) == Split(
        train=("task_0010", "task_0011"),  # 1, 2 and 5 are of the dataset of task 0
        held_out=("task_0000",),
        clusters=("qa",),
    )
    assert hold_out(tasks, "task_0011", view=cluster_view("toys/task")) == Split(
        train=("task_0000", "task_0001", "task_0002", "task_0005"),
        held_out=("task_0011",),
        clusters=("task_0011",),
    )
    assert hold_out(tasks, "SUMMARIES", view=PAPER_VIEW).held_out == (
        "task_0001",
        "task_0005",
    )


def test_a_run_names_the_grouping(toy):
    register_mixture(
        Mixture("some", ("task_0000", "task_0001", "task_0010", "task_0011"))
    )
    config = DataConfig(
        mixture="some",
        held_out="titles",
        source="sandbox",
        data_dir=None,
        tokenizer="practice",
        lengths={"inputs": 64, "targets": 16},
        batch_size=8,
        seed=0,
        clusters="toys/category",
    )
    assert config.split() == Split(
        train=("task_0000", "task_0001"), held_out=("task_0010",), clusters=("titles",)
    )


def test_unknown_groupings(toy):
    with pytest.raises(
        InputError,
        match="unknown DataConfig.clusters 'toys/kategory'. Did you mean 'toys/category'",
    ):
        cluster_view("toys/kategory")
    with pytest.raises(
        InputError, match="unknown DataConfig.clusters 'papr'. Did you mean 'paper'"
    ):
        cluster_view("papr")


def test_two_collections_of_one_name(toy):
    with pytest.raises(InputError, match="two collections are named 'toys'"):
        register_collection(Collection(name="toys", names=list, find=toy.find))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": lambda prefix: []}, r"names will be called with \(\), but"),
        ({"find": lambda: None}, r"find will be called with \(name\), but"),
        (
            {"groupings": {"a": lambda name: {}}},
            r"grouping 'a' will be called with \(\)",
        ),
    ],
)
def test_a_collection_whose_functions_take_other_arguments_is_refused(change, message):
    collection = Collection(
        **{"name": "mine", "names": list, "find": lambda name: None} | change
    )
    with pytest.raises(InputError, match=message):
        register_collection(collection)
    assert "mine" not in registry.COLLECTIONS
