"""Task clusters, which tasks are in them, and which of them may not be trained on when one is held out."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from flan_jax.errors import InputError, unknown_name
from flan_jax.tasks.task import TemplatedTask

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
"""The paper's twelve clusters (FLAN, Figure 3), with their names in print. A task names its own in TemplatedTask.cluster."""

RELATED = frozenset(
    {
        frozenset({"nli", "paraphrase"}),
        frozenset({"reading_comp", "reading_comp_w_commonsense"}),
        frozenset({"commonsense", "reading_comp_w_commonsense"}),
    }
)
"""Pairs of clusters that are held out together: one is never trained on while the other is evaluated (FLAN, section 2.2)."""

RELEASED = {
    "summarization": (
        "aeslc", "cnn_dailymail", "gigaword", "multi_news", "newsroom", "opinion_abstracts_rotten_tomatoes",
        "opinion_abstracts_idebate", "samsum", "xsum", "ag_news_subset", "wiki_lingua_english_en",
    ),
    "structure_to_text": ("common_gen", "dart", "e2e_nlg", "web_nlg_en"),
    "reading_comprehension": ("bool_q", "squad_v1", "squad_v2", "drop", "multirc", "openbookqa"),
    "open_domain_qa": ("natural_questions", "trivia_qa", "arc_challenge", "arc_easy"),
    "paraphrase": ("paws_wiki", "glue_mrpc", "glue_qqp", "stsb"),
    "sentiment": ("sentiment140", "yelp_polarity_reviews", "imdb_reviews", "sst2"),
    "text_formatting": ("true_case", "fix_punct", "word_segment"),
    "common_sense": ("story_cloze", "copa", "piqa", "hellaswag"),
    "translation": (
        "para_crawl_enes", "wmt14_enfr", "wmt16_translate_deen", "wmt16_translate_tren", "wmt16_translate_csen",
        "wmt16_translate_fien", "wmt16_translate_roen", "wmt16_translate_ruen",
    ),
    "coreference": ("wsc", "definite_pronoun_resolution", "winogrande"),
    "entailment": (
        "rte", "anli_r1", "anli_r2", "anli_r3", "cb", "mnli_matched", "mnli_mismatched", "qnli", "wnli", "snli",
    ),
    "math": ("math_dataset",),
    "conversational_qa": ("coqa", "quac"),
    "word_disambiguation": ("wic",),
    "linguistic_acceptability": ("cola",),
    "question_classification": ("trec",),
    "read_comp_and_common_sense": ("record", "cosmos_qa"),
}  # fmt: skip
"""The seventeen clusters of FLAN's released code, in the order of its inter-cluster splits 0 to 16. WSC273 is in none."""

RELEASED_RELATED = frozenset(
    {
        frozenset({"entailment", "paraphrase"}),
        frozenset({"reading_comprehension", "read_comp_and_common_sense"}),
        frozenset({"common_sense", "read_comp_and_common_sense"}),
    }
)

KEPT_TOGETHER = (
    ("anli_r1", "anli_r2", "anli_r3"),
    ("mnli_matched", "mnli_mismatched"),
    ("arc_easy", "arc_challenge"),
    ("squad_v1", "squad_v2"),
    ("opinion_abstracts_rotten_tomatoes", "opinion_abstracts_idebate"),
)
"""Tasks that an intra-cluster split puts on the same side."""


@dataclasses.dataclass(frozen=True)
class ClusterView:
    """One view of which tasks belong together. `members` None is each task's own `cluster`; a task may be in several."""

    name: str
    members: Mapping[str, tuple[str, ...]] | None
    related: frozenset[frozenset[str]]

    def __post_init__(self):
        for cluster, members in (self.members or {}).items():
            twice = sorted({name for name in members if members.count(name) > 1})
            if twice:
                raise InputError(f"cluster {cluster!r} names {', '.join(twice)} twice")

    def of(self, tasks: Iterable[TemplatedTask]) -> dict[str, list[TemplatedTask]]:
        """The clusters that `tasks` fall into, in the view's order, the users' own last. In a view with `members`, a task
        that no cluster lists is in none."""
        found: dict[str, list[TemplatedTask]] = {}
        for task in tasks:
            own = (
                (task.cluster,)
                if self.members is None
                else [c for c, names in self.members.items() if task.name in names]
            )
            for cluster in own:
                found.setdefault(cluster, []).append(task)
        order = [*(CLUSTER_TITLES if self.members is None else self.members)]
        return {c: found[c] for c in order if c in found} | found


PAPER_VIEW = ClusterView("paper", None, RELATED)
RELEASED_VIEW = ClusterView("released", RELEASED, RELEASED_RELATED)
CLUSTER_VIEWS = {view.name: view for view in (PAPER_VIEW, RELEASED_VIEW)}


@dataclasses.dataclass(frozen=True)
class Split:
    """Which tasks a run trains on and which it holds out. Raises InputError when a task is on both sides."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    clusters: tuple[str, ...] = ()

    def __post_init__(self):
        both = sorted(set(self.train) & set(self.held_out))
        if both:
            raise InputError(
                f"both trained on and held out: {', '.join(both)}. Take them out of one side"
            )


def hold_out(
    tasks: Sequence[TemplatedTask],
    clusters: str | Sequence[str] | None,
    *,
    view: ClusterView = PAPER_VIEW,
    known: Sequence[TemplatedTask] = (),
) -> Split:
    """The split of `tasks` that holds one or more clusters out; None holds nothing out.

    Clusters related to these are neither trained on nor evaluated. Neither are tasks that are in a held-out cluster and
    in another as well, those of a dataset that has a configuration held out, and those without a train split. Of a cluster
    that none of `tasks` is in, all of `known` are held out. Raises InputError when no task is in a cluster, or none is left
    to train on.
    """
    wanted = (clusters,) if isinstance(clusters, str) else tuple(clusters or ())
    present, others = view.of(tasks), view.of(known)
    for cluster in wanted:
        if cluster not in present and cluster not in others:
            raise unknown_name("cluster to hold out", cluster, [*present, *others])
        if wanted.count(cluster) > 1:
            raise InputError(f"the cluster {cluster!r} is held out twice; name it once")
    held_out = {
        task.name: task for cluster in wanted for task in present.get(cluster) or others[cluster]
    }
    excluded = set(wanted).union(*(pair for pair in view.related if pair & set(wanted)))
    away = {
        task.name for cluster in excluded for task in present.get(cluster, ())
    } | held_out.keys()
    datasets = {task.dataset for task in held_out.values()} - {""}
    listed = {task.name for members in present.values() for task in members}
    candidates = [task for task in tasks if task.name in listed and "train" in task.splits]
    train = tuple(
        task.name for task in candidates if task.name not in away and task.dataset not in datasets
    )
    if not train:
        raise InputError(
            f"holding {', '.join(wanted)} out leaves no task to train on: every task is in {', '.join(sorted(excluded))}"
        )
    return Split(train=train, held_out=tuple(held_out), clusters=wanted)


def leave_one_cluster_out(
    tasks: Sequence[TemplatedTask], view: ClusterView = PAPER_VIEW
) -> list[Split]:
    """One split for each cluster that the tasks are in, in the view's order, the users' own clusters last."""
    return [hold_out(tasks, cluster, view=view) for cluster in view.of(tasks)]


def intra_cluster(
    tasks: Sequence[TemplatedTask], number: int, view: ClusterView = RELEASED_VIEW
) -> Split:
    """Holds the `number`-th task out of each cluster that has at least two, and trains on the rest of all clusters.

    The tasks of KEPT_TOGETHER count as one. A cluster with fewer starts over; one that is a single dataset is trained on.
    Related clusters stay: the question here is transfer to a new dataset of a known kind.
    """
    held_out: list[str] = []
    for members in view.of(tasks).values():
        groups = list(dict.fromkeys(_together(task.name) for task in members))
        if len(groups) > 1:
            names = {task.name for task in members}
            held_out += [name for name in groups[number % len(groups)] if name in names]
    left = dict.fromkeys(
        task.name
        for members in view.of(tasks).values()
        for task in members
        if "train" in task.splits
    )
    return Split(
        train=tuple(name for name in left if name not in held_out), held_out=tuple(held_out)
    )


def _together(name: str) -> tuple[str, ...]:
    return next((group for group in KEPT_TOGETHER if name in group), (name,))
