"""A synthetic corpus with lengths like FLAN's, in token stores, for the data path's benchmarks.

62 tasks. MEANS gives each task's mean number of input and target tokens, chosen by hand to be
plausible for FLAN 2021's datasets, cluster by cluster; they are not measured. Around its means a
task's lengths are log-normal with 0.5 as the standard deviation of the logarithm, rounded, at least
1, and independent of each other. Tokens are uniform over a vocabulary of 32,000, and row i is said
to be of template i mod 10. Every task has a fixed seed of its own.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import MixtureData
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.token_store import TokenStore, schema, segment_column, write_store
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.tasks.clusters import Split

MEANS = {
    "nli": ((130, 4), (125, 4), (120, 4), (110, 3), (75, 4), (80, 2), (95, 2), (55, 4)),
    "reading": (
        (170, 2),
        (320, 3),
        (420, 2),
        (60, 5),
        (210, 5),
        (215, 5),
        (150, 14),
        (350, 5),
    ),
    "commonsense": ((45, 10), (120, 30), (75, 25), (90, 14)),
    "sentiment": ((300, 2), (45, 2), (42, 2), (180, 2)),
    "closed_book_qa": ((75, 8), (70, 6), (30, 5), (35, 4)),
    "paraphrase": ((85, 2), (60, 2), (88, 2), (70, 1)),
    "coreference": ((55, 5), (60, 8), (50, 12)),
    "struct_to_text": ((35, 14), (65, 30), (60, 32), (70, 36)),
    "translation": (
        (65, 45),
        (60, 50),
        (62, 48),
        (64, 52),
        (60, 46),
        (58, 50),
        (66, 54),
        (64, 48),
    ),
    "summarization": (
        (230, 8),
        (75, 10),
        (700, 80),
        (55, 12),
        (690, 90),
        (600, 35),
        (170, 28),
        (480, 28),
        (250, 20),
    ),
    "misc": ((420, 4), (480, 22), (40, 2), (65, 5), (35, 3), (55, 2)),
}
SPREAD = 0.5
ROWS_PER_TASK = 5_000
"""10 templates x 500 rows."""
TEMPLATES = 10
VOCABULARY = 32_000
BATCH_SIZE = 32
LENGTHS = {"inputs": 1024, "targets": 256}


def write_stores(folder: Path, rows: int = ROWS_PER_TASK) -> int:
    """Writes a training store of `rows` examples for each task; returns the number of examples."""
    means = [pair for cluster in MEANS.values() for pair in cluster]
    for number, (inputs, targets) in enumerate(means):
        rng = np.random.default_rng([2021, number])
        task_folder = folder / f"task{number:02d}"
        _write_task(task_folder, rows, (inputs, targets), rng)
    return rows * len(means)


def _write_task(
    folder: Path, rows: int, means: tuple[float, float], rng: np.random.Generator
) -> None:
    """Writes a training store of random examples with these mean lengths."""
    mean_inputs, mean_targets = means
    input_tokens, input_lengths = _tokens(rows, mean_inputs, rng)
    target_tokens, target_lengths = _tokens(rows, mean_targets, rng)
    # Each example's inputs, then its targets.
    lengths = np.stack([input_lengths, target_lengths], axis=1).reshape(-1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    is_input_segment = np.arange(2 * rows) % 2 == 0
    is_input = np.repeat(is_input_segment, lengths)
    tokens = np.empty(offsets[-1], np.uint16)
    tokens[is_input] = input_tokens
    tokens[~is_input] = target_tokens

    token_lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(tokens))
    numbers = np.arange(rows)
    columns = [
        segment_column([(0, 1)] * rows, token_lists, [False, True] * rows),
        pa.array(numbers // TEMPLATES, pa.int32()),
        pa.array(numbers % TEMPLATES, pa.int16()),
    ]
    batch = pa.record_batch(columns, schema("train", VOCABULARY))
    meta = {"task": folder.name, "examples": rows}
    write_store(folder, [batch], schema=batch.schema, meta=meta)


def _tokens(
    rows: int, mean: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns random tokens and the lengths of the rows that they are in."""
    mean_of_logarithm = np.log(mean) - SPREAD**2 / 2
    lengths = rng.lognormal(mean_of_logarithm, SPREAD, rows)
    lengths = np.rint(lengths).astype(np.int64)
    lengths = np.maximum(lengths, 1)
    tokens = rng.integers(3, VOCABULARY, lengths.sum(), dtype=np.uint16)
    return tokens, lengths


def open_mixture(
    folder: Path, lengths: Mapping[str, int | str] = LENGTHS
) -> MixtureData:
    """Returns the stores as the data of a run with FLAN's maximum rate of 3,000.

    Args:
      folder: the folder of the stores.
      lengths: tokens of a row.
    """
    config = DataConfig(
        mixture="synthetic",
        held_out=None,
        source="sandbox",
        data_dir=None,
        tokenizer="practice",
        lengths=lengths,
        batch_size=BATCH_SIZE,
        seed=0,
    )
    stores = {path.name: TokenStore.open(path) for path in sorted(folder.iterdir())}
    tokenizer = load_tokenizer(config.tokenizer)
    return MixtureData(
        config=config,
        split=Split(tuple(stores), ()),
        row_tokenizer=RowTokenizer(tokenizer),
        train=stores,
        evaluation={},
    )
