"""FLAN's tasks, one file per cluster, and its mixtures. Importing this package registers them."""

from tasks import (  # noqa: F401
    closed_book_qa,
    commonsense,
    coreference,
    misc,
    nli,
    paraphrase,
    reading_comp,
    reading_comp_w_commonsense,
    sentiment,
    struct_to_text,
    summarization,
    translation,
)
from tasks.mixtures import FLAN2021, PRACTICE

__all__ = ["FLAN2021", "PRACTICE"]
