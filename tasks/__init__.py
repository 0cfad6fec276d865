"""FLAN's tasks, one file per cluster. Importing this package registers them and the mixture `flan2021`."""

from flan_jax.data.mixtures import Mixture, register_mixture
from tasks import (  # noqa: F401
    closed_book_qa,
    commonsense,
    coreference,
    misc,
    nli,
    paraphrase,
    reading_comp,
    sentiment,
    struct_to_text,
)

FLAN2021 = register_mixture(Mixture("flan2021"))
