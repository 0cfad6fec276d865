"""Task clusters: which tasks are in them, and what may be trained on when clusters are held out."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from flan_jax.errors import InputError, unknown_name
from flan_jax.tasks.task import COLLECTIONS, TemplatedTask, get_task

CLUSTER_TITLES = {
    "nli": "Natural language inference",
    "reading_comp": "Reading comprehension",
    "closed_book_qa": "Closed-book QA",
    "commonsense": "Commonsense",
    "sentiment": "Sentiment",
    "paraphrase": "Paraphrase",
    "coreference": "Coreference",
    "reading_comp_w_commonsense": "Reading comprehension with commonsense",
    "struct_to_text": "Struct to text",
    "translation": "Translation",
    "summarization": "Summarization",
    "misc": "Miscellaneous",
}
"""The paper's twelve clusters (FLAN, Figure 3) with their titles, see TemplatedTask.cluster."""

RELATED = frozenset(
    {
        frozenset({"nli", "paraphrase"}),
        frozenset({"reading_comp", "reading_comp_w_commonsense"}),
        frozenset({"commonsense", "reading_comp_w_commonsense"}),
    }
)
"""Pairs of clusters: one is not trained on while the other is held out (FLAN, section 2.2)."""

RELEASED = {
    "summarization": (
        "aeslc",
        "cnn_dailymail",
        "gigaword",
        "multi_news",
        "newsroom",
        "opinion_abstracts_rotten_tomatoes",
        "opinion_abstracts_idebate",
        "samsum",
        "xsum",
        "ag_news_subset",
        "wiki_lingua_english_en",
    ),
    "structure_to_text": ("common_gen", "dart", "e2e_nlg", "web_nlg_en"),
    "reading_comprehension": (
        "bool_q",
        "squad_v1",
        "squad_v2",
        "drop",
        "multirc",
        "openbookqa",
    ),
    "open_domain_qa": ("natural_questions", "trivia_qa", "arc_challenge", "arc_easy"),
    "paraphrase": ("paws_wiki", "glue_mrpc", "glue_qqp", "stsb"),
    "sentiment": ("sentiment140", "yelp_polarity_reviews", "imdb_reviews", "sst2"),
    "text_formatting": ("true_case", "fix_punct", "word_segment"),
    "common_sense": ("story_cloze", "copa", "piqa", "hellaswag"),
    "translation": (
        "para_crawl_enes",
        "wmt14_enfr",
        "wmt16_translate_deen",
        "wmt16_translate_tren",
        "wmt16_translate_csen",
        "wmt16_translate_fien",
        "wmt16_translate_roen",
        "wmt16_translate_ruen",
    ),
    "coreference": ("wsc", "definite_pronoun_resolution", "winogrande"),
    "entailment": (
        "rte",
        "anli_r1",
        "anli_r2",
        "anli_r3",
        "cb",
        "mnli_matched",
        "mnli_mismatched",
        "qnli",
        "wnli",
        "snli",
    ),
    "math": ("math_dataset",),
    "conversational_qa": ("coqa", "quac"),
    "word_disambiguation": ("wic",),
    "linguistic_acceptability": ("cola",),
    "question_classification": ("trec",),
    "read_comp_and_common_sense": ("record", "cosmos_qa"),
}
"""The seventeen clusters of FLAN's released code, in the order of its inter-cluster splits 0 to 16.

WSC273 is in none of them.
"""

RELEASED_RELATED = frozenset(
    {
        frozenset({"entailment", "paraphrase"}),
        frozenset({"reading_comprehension", "read_comp_and_common_sense"}),
        frozenset({"common_sense", "read_comp_and_common_sense"}),
    }
)


@dataclasses.dataclass(frozen=True)
class ClusterView:
    """One view of which tasks belong together.

    Attributes:
      name: its name in DataConfig.clusters.
      members: the task names of each cluster; a task may be in several. None: each task is in its
        own `TemplatedTask.cluster`.
      related: pairs of clusters. While one of a pair is held out, the other is not trained on.
    """

    name: str
    members: Mapping[str, Sequence[str]] | None
    related: frozenset[frozenset[str]] = frozenset()

    def __post_init__(self):
        for cluster, names in (self.members or {}).items():
            counts = collections.Counter(names)
            repeated = sorted(name for name, count in counts.items() if count > 1)
            if repeated:
                raise InputError(
                    f"cluster {cluster!r} names {', '.join(repeated)} twice; name each task once"
                )

    def group(self, tasks: Iterable[TemplatedTask]) -> dict[str, list[TemplatedTask]]:
        """Returns the clusters of `tasks` with their tasks.

        The clusters are in the view's order, those that it does not know last. In a view with
        `members`, a task that no cluster names is in none.

        Args:
          tasks: the tasks to group.

        Returns:
          {cluster: its tasks, in the order of `tasks`}; a task may be in several clusters.
        """
        clusters: dict[str, list[TemplatedTask]] = {}
        clusters_of = self._clusters_by_task()
        for task in tasks:
            names = (
                [task.cluster]
                if self.members is None
                else clusters_of.get(task.name, [])
            )
            for cluster in names:
                clusters.setdefault(cluster, []).append(task)
        known_clusters = CLUSTER_TITLES if self.members is None else self.members
        in_order = {name: clusters[name] for name in known_clusters if name in clusters}
        return in_order | clusters

    def unrelated(self, cluster: str, tasks: Iterable[TemplatedTask]) -> list[str]:
        """Returns the clusters of `tasks` that can be held out of training on one cluster alone.

        Args:
          cluster: the cluster that is trained on.
          tasks: the tasks of the mixture.

        Raises:
          InputError: no task is in the cluster.
        """
        groups = self.group(tasks)
        if cluster not in groups:
            raise unknown_name("cluster to train on alone", cluster, groups)
        related = _with_related({cluster}, self.related) | _named_by(groups[cluster])
        return [
            other
            for other, tasks_of_other in groups.items()
            if other not in related and cluster not in _named_by(tasks_of_other)
        ]

    def cluster_of_each(
        self, tasks: Sequence[TemplatedTask], held_out: Sequence[str] = ()
    ) -> dict[str, str]:
        """Returns the cluster that each task is counted in, in tables and means.

        Of several clusters of a task that is a held-out one, or else the first one of the view. A
        task that the view has in no cluster is in its own `TemplatedTask.cluster`.

        Args:
          tasks: the tasks.
          held_out: the clusters that are held out.

        Returns:
          {task's name: cluster}.
        """
        groups = self.group(tasks)
        held_out_first = [name for name in held_out if name in groups] + list(groups)
        cluster_of = {}
        for cluster in held_out_first:
            for task in groups[cluster]:
                cluster_of.setdefault(task.name, cluster)
        own = {task.name: task.cluster for task in tasks}
        return own | cluster_of

    def _clusters_by_task(self) -> dict[str, list[str]]:
        clusters_of: dict[str, list[str]] = {}
        for cluster, names in (self.members or {}).items():
            for name in names:
                clusters_of.setdefault(name, []).append(cluster)
        return clusters_of


PAPER_VIEW = ClusterView("paper", None, RELATED)
RELEASED_VIEW = ClusterView("released", RELEASED, RELEASED_RELATED)
CLUSTER_VIEWS = {view.name: view for view in (PAPER_VIEW, RELEASED_VIEW)}


def cluster_view(name: str) -> ClusterView:
    """Returns the view of this name: one of CLUSTER_VIEWS, or "collection/grouping".

    Args:
      name: such as "paper", or "collection/grouping" for a grouping of a collection.

    Returns:
      The view.

    Raises:
      InputError: there is no such view; the message has the nearest name.
    """
    if name in CLUSTER_VIEWS:
        return CLUSTER_VIEWS[name]
    groupings = {}
    for collection in COLLECTIONS.values():
        for grouping, groups in collection.groupings.items():
            groupings[f"{collection.name}/{grouping}"] = groups
    if name not in groupings:
        raise unknown_name("DataConfig.clusters", name, [*CLUSTER_VIEWS, *groupings])
    return ClusterView(name, groupings[name]())


@dataclasses.dataclass(frozen=True)
class Split:
    """The tasks that a run trains on and those that it holds out.

    Attributes:
      train: names of the tasks to train on.
      held_out: names of the tasks to evaluate only. A task on both sides raises InputError.
      clusters: names of the held-out clusters.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    clusters: tuple[str, ...] = ()

    def __post_init__(self):
        both = sorted(set(self.train) & set(self.held_out))
        if both:
            raise InputError(
                f"both trained on and held out: {', '.join(both)}. Take them out of one side"
            )

    def with_training_on(self, cluster: str, view: ClusterView) -> "Split":
        """Returns the split without the tasks that are trained on and not in a cluster.

        Args:
          cluster: the cluster that is trained on alone.
          view: which tasks belong to which cluster.

        Raises:
          InputError: none of its tasks is trained on.
        """
        groups = view.group([get_task(name) for name in self.train])
        if cluster not in groups:
            raise InputError(
                f"no task of the cluster {cluster!r} is left to train on alone beside what is held "
                f"out: {', '.join(self.clusters) or 'nothing'}. Training has: {', '.join(groups)}"
            )
        names = tuple(task.name for task in groups[cluster])
        return dataclasses.replace(self, train=names)


def hold_out(
    tasks: Sequence[TemplatedTask],
    clusters: str | Sequence[str] | None,
    *,
    view: ClusterView = PAPER_VIEW,
    known: Sequence[TemplatedTask] = (),
) -> Split:
    """Returns the split of `tasks` that holds clusters out.

    Four kinds of tasks are neither trained on nor evaluated: those of clusters related to a
    held-out one, by the view or by a task's `related`, in either direction; those in a held-out
    cluster and in another as well (they are evaluated); those of a dataset that has a held-out
    configuration; and those without a train split.

    Args:
      tasks: the tasks of the mixture.
      clusters: the clusters to hold out; None for none.
      view: which tasks belong to which cluster.
      known: further tasks. If no task of the mixture is in a cluster to hold out, all of these that
        are in it are held out.

    Raises:
      InputError: there is no task in a cluster, a cluster is named twice, or no task is left to
        train on.
    """
    held_out_clusters = (
        (clusters,) if isinstance(clusters, str) else tuple(clusters or ())
    )
    groups = view.group(tasks)
    held_out = _tasks_to_hold_out(held_out_clusters, groups, view.group(known))

    excluded_clusters = _with_related(held_out_clusters, view.related)
    excluded_clusters |= _named_by(held_out.values())
    excluded = set(held_out)
    for cluster in excluded_clusters:
        excluded |= {task.name for task in groups.get(cluster, ())}
    held_out_datasets = {task.dataset for task in held_out.values()} - {""}

    in_a_cluster = {task.name for group in groups.values() for task in group}
    train = []
    for task in tasks:
        can_train = task.name in in_a_cluster and "train" in task.splits
        if (
            can_train
            and task.name not in excluded
            and not set(task.related) & set(held_out_clusters)
            and task.dataset not in held_out_datasets
        ):
            train.append(task.name)
    if not train:
        raise InputError(
            f"holding {', '.join(held_out_clusters)} out leaves no task to train on: every task is "
            f"in {', '.join(sorted(excluded_clusters))}, or names one of them as related. Hold out "
            "less, or add tasks to the mixture"
        )
    return Split(
        train=tuple(train), held_out=tuple(held_out), clusters=held_out_clusters
    )


def _tasks_to_hold_out(
    clusters: Sequence[str],
    groups: Mapping[str, Sequence[TemplatedTask]],
    known_groups: Mapping[str, Sequence[TemplatedTask]],
) -> dict[str, TemplatedTask]:
    """Returns the tasks of the clusters, by name.

    Args:
      clusters: the clusters to hold out.
      groups: the clusters of the mixture.
      known_groups: further clusters, for those that the mixture lacks.
    """
    held_out: dict[str, TemplatedTask] = {}
    for cluster in clusters:
        if cluster not in groups and cluster not in known_groups:
            raise unknown_name("cluster to hold out", cluster, [*groups, *known_groups])
        if clusters.count(cluster) > 1:
            raise InputError(f"the cluster {cluster!r} is held out twice; name it once")
        for task in groups.get(cluster) or known_groups[cluster]:
            held_out[task.name] = task
    return held_out


def _with_related(
    clusters: Iterable[str], related: Iterable[frozenset[str]]
) -> set[str]:
    """Returns the clusters and those that are related to one of them."""
    clusters = set(clusters)
    related_to_them = [pair for pair in related if pair & clusters]
    return clusters.union(*related_to_them)


def _named_by(tasks: Iterable[TemplatedTask]) -> set[str]:
    """Returns the clusters that the tasks name as related."""
    return {name for task in tasks for name in task.related}


def leave_one_cluster_out(
    tasks: Sequence[TemplatedTask], view: ClusterView = PAPER_VIEW
) -> list[Split]:
    """Returns one split for each cluster of the tasks, in the order of ClusterView.group."""
    return [hold_out(tasks, cluster, view=view) for cluster in view.group(tasks)]
