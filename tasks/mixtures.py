"""FLAN's mixtures: all tasks, the few of the first run, and those of the paper's ablations."""

import itertools

from flan_jax.tasks import Mixture, register_mixture
from flan_jax.tasks.clusters import RELEASED

FLAN2021 = register_mixture(Mixture("flan2021"))
"""Every task that is registered: FLAN's seventy, and the user's own."""

PRACTICE = register_mixture(
    Mixture(
        "practice",
        (
            "rte", "cb", "wnli", "bool_q", "openbookqa", "arc_easy", "arc_challenge", "copa",
            "winogrande", "sst2",
            "glue_mrpc", "stsb", "common_gen", "e2e_nlg", "web_nlg_en", "wic", "trec", "cola",
        ),
    )
)  # fmt: skip
"""Eighteen small tasks of nine clusters, for a first run of minutes."""

ABLATION_CLUSTERS = (
    "summarization",
    "translation",
    "reading_comprehension",
    "sentiment",
    "structure_to_text",
    "coreference",
    "conversational_qa",
)
"""The clusters of FLAN's ablations in the order in which they are added (section 4.1, Figure 6).

They are those of the released code. The ablations hold out entailment, common_sense and
open_domain_qa.
"""


def _in_turn(clusters: tuple[str, ...]) -> list[str]:
    """The first task of each cluster, then the second of each, and so on."""
    ranks = itertools.zip_longest(*(RELEASED[cluster] for cluster in clusters))
    return [name for rank in ranks for name in rank if name is not None]


for number in range(1, len(ABLATION_CLUSTERS) + 1):
    first = ABLATION_CLUSTERS[:number]
    members = tuple(name for cluster in first for name in RELEASED[cluster])
    register_mixture(Mixture(f"flan2021_{number}_clusters", members))
    register_mixture(
        Mixture(f"flan2021_{number}_clusters_15_tasks", tuple(_in_turn(first)[:15]))
    )

for number in (1, 2, 3, 4):
    members = tuple(
        name for cluster in ABLATION_CLUSTERS for name in RELEASED[cluster][:number]
    )
    register_mixture(Mixture(f"flan2021_7_clusters_{number}_each", members))
