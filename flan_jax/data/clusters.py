"""Task clusters and which of them may not be trained on when one is held out (FLAN, section 2.2 and Figure 3)."""

import dataclasses
from collections.abc import Iterable, Sequence

from flan_jax.data.tasks import TemplatedTask
from flan_jax.errors import InputError, unknown

CLUSTERS = (
    "nli",
    "reading_comp",
    "closed_book_qa",
    "commonsense",
    "sentiment",
    "paraphrase",
    "coreference",
    "reading_comp_w_commonsense",
    "struct_to_text",
    "translation",
    "summarization",
    "misc",
)
"""The paper's twelve clusters."""

RELATED = frozenset(
    {
        frozenset({"nli", "paraphrase"}),
        frozenset({"reading_comp", "reading_comp_w_commonsense"}),
        frozenset({"commonsense", "reading_comp_w_commonsense"}),
    }
)
"""Pairs of clusters that are held out together: one is never trained on while the other is evaluated."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Which tasks a run trains on and which it holds out. Raises InputError when a task is on both sides."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    cluster: str | None = None

    def __post_init__(self):
        both = sorted(set(self.train) & set(self.held_out))
        if both:
            raise InputError(f"both trained on and held out: {', '.join(both)}. Take them out of one side")


def hold_out(tasks: Sequence[TemplatedTask], cluster: str | None, related: Iterable[frozenset[str]] = RELATED) -> Split:
    """The split that holds `cluster` out of `tasks`; its related clusters are neither trained on nor evaluated.

    None holds nothing out. Raises InputError when no task is in the cluster, or none is left to train on.
    """
    if cluster is None:
        return Split(train=tuple(task.name for task in tasks), held_out=())
    present = {task.cluster for task in tasks}
    if cluster not in present:
        raise unknown("cluster to hold out", cluster, present)
    excluded = {cluster}.union(*(pair for pair in related if cluster in pair))
    train = tuple(task.name for task in tasks if task.cluster not in excluded)
    if not train:
        raise InputError(
            f"holding {cluster!r} out leaves no task to train on: every task is in {', '.join(sorted(excluded))}"
        )
    return Split(train=train, held_out=tuple(task.name for task in tasks if task.cluster == cluster), cluster=cluster)


def leave_one_cluster_out(tasks: Sequence[TemplatedTask], related: Iterable[frozenset[str]] = RELATED) -> list[Split]:
    """One split for each cluster that the tasks are in, in the order of CLUSTERS, the users' own clusters last."""
    present = dict.fromkeys(task.cluster for task in tasks)
    ordered = [cluster for cluster in CLUSTERS if cluster in present] + [c for c in present if c not in CLUSTERS]
    return [hold_out(tasks, cluster, related) for cluster in ordered]
