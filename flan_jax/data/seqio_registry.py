"""The registered tasks and mixtures as seqio Tasks and Mixtures, for T5X and other users of seqio.

Importing this module registers those known by then, on the practice corpus with its tokenizer: import the modules with
the tasks first. `register_seqio` registers them anew, from other sources or with another tokenizer. A split gives the
examples that flan_jax.data.prepare puts into the stores: `train` a drawn template for each row, `validation` and `test`
every evaluation template.
"""

import functools
import importlib
import importlib.util
from collections.abc import Iterator, Sequence

import numpy as np
import seqio
import tensorflow as tf

from flan_jax.data.mixtures import EXAMPLES_PER_DATASET, MAXIMUM_RATE, MIXTURES, mixture_or_task
from flan_jax.data.rendering import render_eval, render_train
from flan_jax.data.sources import SPLITS, Source
from flan_jax.data.tasks import TASKS, TemplatedTask, resolve_source
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.errors import InputError


def register_seqio(
    tokenizer: str = "practice",
    source: str = "sandbox",
    data_dir: str | None = None,
    *,
    extra_ids: int = 0,
    cap: int | None = EXAMPLES_PER_DATASET,
    maximum_rate: int | None = MAXIMUM_RATE,
    renderings: int = 1,
    seed: int = 0,
) -> None:
    """Adds every task of TASKS and mixture of MIXTURES to seqio's registries, in place of what it added before.

    `tokenizer` and `extra_ids` are load_tokenizer's, `source` and `data_dir` resolve_source's. A task that lacks this
    source is left out, and so is a mixture that holds it. No row is read before a dataset is asked for. Raises InputError
    when seqio knows a name already.
    """
    for registry, names in _REGISTERED.items():
        while names:
            registry.remove(names.pop())
    if not TASKS:
        return
    vocabulary = seqio_vocabulary(load_tokenizer(tokenizer, extra_ids))
    for task in TASKS.values():
        try:
            rows = resolve_source(task, source, data_dir)
        except InputError:
            continue
        examples = _RenderedExamples(task, rows, cap=cap, renderings=renderings, seed=seed)
        _add(seqio.TaskRegistry, task.name, **_task_arguments(examples, vocabulary))
    rate = functools.partial(seqio.mixing_rate_num_examples, maximum=maximum_rate)
    for name in MIXTURES:
        tasks = [task.name for task in mixture_or_task(name)]
        if set(tasks) <= set(_REGISTERED[seqio.TaskRegistry]):
            _add(seqio.MixtureRegistry, name, tasks=tasks, default_rate=rate)


_REGISTERED: dict[type, list[str]] = {seqio.MixtureRegistry: [], seqio.TaskRegistry: []}
"""What this module added."""


def _add(registry, name: str, **arguments) -> None:
    if name in {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}:
        raise InputError(f"seqio knows another task or mixture named {name!r}; a name is an identity, choose another")
    registry.add(name, **arguments)
    _REGISTERED[registry].append(name)


def _task_arguments(examples: "_RenderedExamples", vocabulary: seqio.Vocabulary) -> dict:
    feature = seqio.Feature(vocabulary, add_eos=True)
    return {
        "source": examples,
        "output_features": {"inputs": feature, "targets": feature},
        "preprocessors": [
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        "metric_fns": list(examples.task.metrics),
    }


class _RenderedExamples(seqio.FunctionDataSource):
    """A task's rendered examples, counted when their number is first asked for."""

    def __init__(self, task: TemplatedTask, source: Source, *, cap: int | None, renderings: int, seed: int):
        self.task, self._rows = task, source.rows
        self._drawing = {"cap": cap, "renderings": renderings, "seed": seed}
        self._counts: dict[str, int] = {}
        # A source that names its splits one by one, Tfds or Jsonl, has None for those that it lacks.
        super().__init__(self._dataset, [split for split in SPLITS if getattr(source, split, split) is not None])

    def num_input_examples(self, split: str) -> int:
        if split not in self._counts:
            self._counts[split] = sum(1 for _ in self._texts(split))
        return self._counts[split]

    def _dataset(self, split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        """Unshuffled, whatever is asked: seqio shuffles examples itself, and the rows of a source have one order."""
        text = tf.TensorSpec((), tf.string)
        spec = {"inputs": text, "targets": text}
        return tf.data.Dataset.from_generator(functools.partial(self._texts, split), output_signature=spec)

    def _texts(self, split: str) -> Iterator[dict[str, str]]:
        rows = self._rows(split)
        shown = render_train(self.task, rows, **self._drawing) if split == "train" else render_eval(self.task, rows)
        for row in shown:
            yield {"inputs": row.inputs, "targets": row.targets}


def seqio_vocabulary(tokenizer: Tokenizer) -> seqio.Vocabulary:
    """The same tokenizer for seqio: its file is read again there."""
    if tokenizer.path.endswith(".model"):
        return seqio.SentencePieceVocabulary(tokenizer.path, tokenizer.extra_ids)
    return TokenizerJsonVocabulary(tokenizer)


class TokenizerJsonVocabulary(seqio.Vocabulary):
    """A Hugging Face tokenizer.json as a seqio vocabulary. Within tf.data it runs as a Python function."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self._tokenizer = tokenizer

    @property
    def bos_id(self) -> int | None:
        return None

    @property
    def eos_id(self) -> int:
        return self._tokenizer.eos_id

    @property
    def pad_id(self) -> int:
        return self._tokenizer.pad_id

    @property
    def unk_id(self) -> int | None:
        return None

    @property
    def _base_vocab_size(self) -> int:
        return self._tokenizer.vocab_size

    def _encode(self, s: str) -> Sequence[int]:
        return self._tokenizer.encode(s)

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(text) -> np.ndarray:  # bytes, or in eager mode an array of them
            return np.array(self._tokenizer.encode(np.asarray(text).item().decode("utf-8")), np.int32)

        ids = tf.numpy_function(encode, [s], tf.int32)
        ids.set_shape([None])
        return ids

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        text = tf.numpy_function(lambda row: self._tokenizer.decode(row.tolist()), [ids], tf.string)
        text.set_shape([])
        return text

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TokenizerJsonVocabulary) and self._tokenizer.fingerprint == other._tokenizer.fingerprint
        )

    def __hash__(self) -> int:
        return hash(self._tokenizer.fingerprint)


# The repository's own tasks, where nobody has registered any yet: `flan2021` is there after this import alone.
if not TASKS and importlib.util.find_spec("tasks") is not None:
    importlib.import_module("tasks")
register_seqio()
