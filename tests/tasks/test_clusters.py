import dataclasses

import pytest
from toy_tasks import SPELL, Rows

import tasks as flan
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import (
    CLUSTER_TITLES,
    RELEASED,
    RELEASED_VIEW,
    ClusterView,
    Split,
    hold_out,
    leave_one_cluster_out,
)
from flan_jax.tasks.mixtures import mixture_or_task

FLAN = mixture_or_task(flan.FLAN2021.name)


def toys(**clusters):
    return [
        dataclasses.replace(SPELL, name=name, cluster=cluster)
        for name, cluster in clusters.items()
    ]


def view(*pairs, members=None):
    return ClusterView("toy", members, frozenset(map(frozenset, pairs)))


TOY = toys(a1="a", a2="a", b1="b", c1="c")
AB = view("ab")


def test_hold_out_leaves_related_clusters_out():
    assert hold_out(TOY, "a", view=AB) == Split(
        train=("c1",), held_out=("a1", "a2"), clusters=("a",)
    )
    assert hold_out(TOY, "b", view=AB) == Split(
        train=("c1",), held_out=("b1",), clusters=("b",)
    )
    assert hold_out(TOY, "c", view=AB) == Split(
        train=("a1", "a2", "b1"), held_out=("c1",), clusters=("c",)
    )
    assert hold_out(TOY, None, view=AB) == Split(
        train=("a1", "a2", "b1", "c1"), held_out=()
    )


def test_a_task_may_be_related_to_a_cluster_by_itself():
    """Whatever cluster it is in: neither is trained on while the other is held out."""
    tasks = [
        *toys(a1="a", b1="b"),
        dataclasses.replace(SPELL, name="b2", cluster="b", related=("a",)),
    ]
    assert hold_out(tasks, "a", view=view()).train == ("b1",)
    assert hold_out([*tasks, *toys(c1="c")], "b", view=view()).train == ("c1",)
    assert view().unrelated("b", tasks) == view().unrelated("a", tasks) == []


def test_several_clusters():
    assert hold_out(TOY, ["c", "a"], view=view()) == Split(
        ("b1",), ("c1", "a1", "a2"), clusters=("c", "a")
    )


def test_relations_are_not_transitive():
    assert hold_out(TOY, "a", view=view("ab", "bc")).train == ("c1",)


def test_a_task_in_two_clusters_is_pruned():
    both = view(members={"a": ("a1", "b1"), "b": ("b1", "a2"), "c": ("c1",)})
    assert hold_out(TOY, "a", view=both) == Split(
        ("a2", "c1"), ("a1", "b1"), clusters=("a",)
    )
    assert hold_out(TOY, "b", view=both).train == ("a1", "c1")


def test_a_task_that_a_view_does_not_list_is_on_no_side():
    listed = view(members={"a": ("a1",), "c": ("c1",)})
    assert hold_out(TOY, "a", view=listed) == Split(("c1",), ("a1",), clusters=("a",))
    assert hold_out(TOY, None, view=listed).train == ("a1", "c1")


def test_each_task_is_counted_in_one_cluster():
    members = view(members={"p": ("a1", "b1"), "q": ("a1", "a2")})
    assert members.cluster_of_each(TOY) == {"a1": "p", "a2": "q", "b1": "p", "c1": "c"}
    assert members.cluster_of_each(TOY, ["q"])["a1"] == "q", "the held-out one"
    assert AB.cluster_of_each(TOY, ["b"]) == {
        task.name: task.cluster for task in TOY
    }, "the paper's view is that of the tasks themselves"


def test_configurations_of_one_dataset_stay_on_one_side():
    shared = [
        dataclasses.replace(task, dataset="d") if task.name in ("a1", "c1") else task
        for task in TOY
    ]
    assert hold_out(shared, "a", view=view()).train == ("b1",)
    assert hold_out(shared, "c", view=view()).train == ("a2", "b1")


def test_a_task_without_a_train_split_is_only_evaluated():
    tasks = [
        *TOY,
        dataclasses.replace(SPELL, name="b2", cluster="b", source=Rows(train=None)),
    ]
    assert hold_out(tasks, None, view=view()).train == ("a1", "a2", "b1", "c1")
    assert hold_out(tasks, "b", view=view()).held_out == ("b1", "b2")


def test_a_cluster_that_the_mixture_lacks_is_evaluated_whole():
    others = toys(d1="d", d2="d", a9="a")
    assert hold_out(TOY, "d", view=view(), known=others).held_out == ("d1", "d2")
    assert hold_out(TOY, "a", view=view(), known=others).held_out == ("a1", "a2")


def test_leave_one_cluster_out_in_the_papers_order():
    splits = leave_one_cluster_out(
        toys(own="mine", m="misc", n="nli", s="sentiment"), view()
    )
    assert [split.clusters for split in splits] == [
        ("nli",),
        ("sentiment",),
        ("misc",),
        ("mine",),
    ]


def test_the_papers_twelve_splits():
    splits = {split.clusters[0]: split for split in leave_one_cluster_out(FLAN)}
    assert list(splits) == list(CLUSTER_TITLES)
    of = {task.name: task.cluster for task in FLAN}
    for cluster, split in splits.items():
        assert not set(split.train) & set(split.held_out)
        assert {of[name] for name in split.held_out} == {cluster}
        assert {name for name, own in of.items() if own == cluster} == set(
            split.held_out
        )
    left_out = {
        c: set(CLUSTER_TITLES) - {of[name] for name in s.train} - {c}
        for c, s in splits.items()
    }
    assert {cluster: others for cluster, others in left_out.items() if others} == {
        "nli": {"paraphrase"},
        "paraphrase": {"nli"},
        "reading_comp": {"reading_comp_w_commonsense"},
        "commonsense": {"reading_comp_w_commonsense"},
        "reading_comp_w_commonsense": {"reading_comp", "commonsense"},
    }
    assert "wsc273" in splits["coreference"].held_out
    assert not any("wsc273" in split.train for split in splits.values())


def test_the_released_codes_seventeen_splits():
    splits = leave_one_cluster_out(FLAN, RELEASED_VIEW)
    assert [split.clusters[0] for split in splits] == list(RELEASED)
    # The names that every split but its own trains on, and the number of tasks of each side.
    assert [(len(split.train), len(split.held_out)) for split in splits] == [
        (58, 11), (65, 4), (61, 6), (65, 4), (55, 4), (65, 4), (66, 3), (63, 4), (61, 8), (66, 3),
        (55, 10), (68, 1), (67, 2), (68, 1), (68, 1), (68, 1), (57, 2),
    ]  # fmt: skip
    assert not any("wsc273" in (*split.train, *split.held_out) for split in splits)


def test_errors():
    with pytest.raises(InputError, match="both trained on and held out: x"):
        Split(train=("x", "y"), held_out=("x",))
    with pytest.raises(InputError, match="unknown cluster to hold out 'd'"):
        hold_out(TOY, "d", view=AB)
    with pytest.raises(InputError, match="held out twice"):
        hold_out(TOY, ("c", "c"), view=AB)
    with pytest.raises(InputError, match="leaves no task to train on"):
        hold_out(toys(a="a", b="b"), "a", view=AB)
    with pytest.raises(InputError, match="cluster 'a' names x twice"):
        view(members={"a": ("x", "y", "x")})
