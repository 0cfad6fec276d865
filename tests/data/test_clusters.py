import dataclasses

import pytest
from toy_tasks import SPELL

from flan_jax.data.clusters import CLUSTERS, RELATED, Split, hold_out, leave_one_cluster_out
from flan_jax.errors import InputError


def tasks(**clusters):
    return [dataclasses.replace(SPELL, name=name, cluster=cluster) for name, cluster in clusters.items()]


TOY = tasks(a1="a", a2="a", b1="b", c1="c")
AB = [frozenset({"a", "b"})]


def test_hold_out_leaves_related_clusters_out():
    assert hold_out(TOY, "a", AB) == Split(train=("c1",), held_out=("a1", "a2"), cluster="a")
    assert hold_out(TOY, "b", AB) == Split(train=("c1",), held_out=("b1",), cluster="b")
    assert hold_out(TOY, "c", AB) == Split(train=("a1", "a2", "b1"), held_out=("c1",), cluster="c")
    assert hold_out(TOY, None, AB) == Split(train=("a1", "a2", "b1", "c1"), held_out=())


def test_relations_are_not_transitive():
    chain = [frozenset({"a", "b"}), frozenset({"b", "c"})]
    assert hold_out(TOY, "a", chain).train == ("c1",)


def test_leave_one_cluster_out_in_the_papers_order():
    splits = leave_one_cluster_out(tasks(own="mine", m="misc", n="nli", s="sentiment"), [])
    assert [split.cluster for split in splits] == ["nli", "sentiment", "misc", "mine"]


def test_flan_holds_paraphrase_out_with_nli():
    flan = tasks(**{cluster: cluster for cluster in CLUSTERS})
    assert len(CLUSTERS) == 12
    left_out = {
        split.cluster: set(CLUSTERS) - set(split.train) - {split.cluster}
        for split in leave_one_cluster_out(flan, RELATED)
    }
    assert {cluster: others for cluster, others in left_out.items() if others} == {
        "nli": {"paraphrase"},
        "paraphrase": {"nli"},
        "reading_comp": {"reading_comp_w_commonsense"},
        "commonsense": {"reading_comp_w_commonsense"},
        "reading_comp_w_commonsense": {"reading_comp", "commonsense"},
    }


def test_errors():
    with pytest.raises(InputError, match="both trained on and held out: x"):
        Split(train=("x", "y"), held_out=("x",))
    with pytest.raises(InputError, match="unknown cluster to hold out 'd'"):
        hold_out(TOY, "d", AB)
    with pytest.raises(InputError, match="leaves no task to train on"):
        hold_out(tasks(a="a", b="b"), "a", AB)
