"""The registered tasks and mixtures as seqio Tasks and Mixtures, for T5X and other users of seqio, and seqio's tasks as ours.

Importing this module registers those known by then, on the practice corpus with its tokenizer: import the modules with
the tasks first. `register_seqio` registers them anew, from other sources or with another tokenizer. A split gives the
examples that flan_jax.data.prepare puts into the stores: `train` a drawn template for each row, `validation` and `test`
every evaluation template. Beside a task `rte` there is `rte_type_3` for its template 3 alone (FLAN's names), beside a
mixture `flan2021` the halves of each leave-one-cluster-out split, `flan2021_without_nli` and `flan2021_nli`.

After the import a task that was added with seqio.TaskRegistry.add can be named in a mixture of ours.
"""

import dataclasses
import functools
import importlib
import importlib.util
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from flan_jax.data.store_requests import RenderedExamples, Request, Selection
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import leave_one_cluster_out
from flan_jax.tasks.fingerprints import fingerprint
from flan_jax.tasks.mixtures import MAXIMUM_RATE, MIXTURES, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import ZERO_SHOT, EvalRow, TrainRow
from flan_jax.tasks.task import (
    TASKS,
    Collection,
    TemplatedTask,
    register_collection,
    resolve_source,
)
from flan_jax.tasks.templates import FormatTemplate

SEQIO_CLUSTER = "seqio"
"""The cluster of seqio's own tasks in our mixtures."""


def register_seqio(
    tokenizer: str = "practice",
    source: str = "sandbox",
    data_dir: str | None = None,
    *,
    extra_ids: int = 0,
    selection: Selection | None = None,
    train_prompts: Prompts = ZERO_SHOT,
    eval_prompts: Prompts = ZERO_SHOT,
    maximum_rate: int | None = MAXIMUM_RATE,
) -> None:
    """Adds every task of TASKS and mixture of MIXTURES to seqio's registries, in place of what it added before.

    `tokenizer` and `extra_ids` are load_tokenizer's, `source` and `data_dir` resolve_source's. A task that lacks this
    source is left out, and so is a mixture that holds it. No row is read before a dataset is asked for. Raises InputError
    when seqio knows a name already.
    """
    for kind, names in _REGISTERED.items():
        while names:
            kind.remove(names.pop())
    if not TASKS:
        return
    spoken = load_tokenizer(tokenizer, extra_ids)
    feature = seqio.Feature(seqio_vocabulary(spoken), add_eos=True)
    for task in TASKS.values():
        try:
            found = dataclasses.replace(task, source=resolve_source(task, source, data_dir))
        except InputError:
            continue
        examples = _RenderedExamples(
            found, task.splits, selection or Selection(), spoken, train_prompts, eval_prompts
        )
        _add_task(task.name, examples, feature)
        for index in range(len(task.templates)):
            _add_task(f"{task.name}_type_{index}", examples.of_template(index), feature)
    for name in MIXTURES:
        _add_mixtures(name, functools.partial(_rate, maximum=maximum_rate))


def _add_mixtures(name: str, rate: Any) -> None:
    """A mixture of ours and its leave-one-cluster-out splits, where seqio has all their tasks."""
    members = mixture_or_task(name)
    trained = [task.name for task in members if "train" in task.splits]
    named = {name: trained}
    for split in (
        leave_one_cluster_out(members) if len({task.cluster for task in members}) > 2 else ()
    ):
        named[f"{name}_without_{split.clusters[0]}"] = list(split.train)
        named[f"{name}_{split.clusters[0]}"] = list(split.held_out)
    for mixture, tasks in named.items():
        if set(tasks) <= seqio.TaskRegistry.names():
            _add(seqio.MixtureRegistry, mixture, tasks=tasks, default_rate=rate)


def _rate(task: Any, maximum: int | None) -> int | float:
    """Examples-proportional mixing. Of our own tasks no more than `maximum` examples are read to find the rate."""
    if isinstance(task.source, _RenderedExamples):
        return task.source.examples(maximum)
    return seqio.mixing_rate_num_examples(task, maximum=maximum)


_REGISTERED: dict[type, list[str]] = {seqio.MixtureRegistry: [], seqio.TaskRegistry: []}
"""What this module added."""


def _add(registry: Any, name: str, **arguments) -> None:
    if name in seqio.TaskRegistry.names() or name in seqio.MixtureRegistry.names():
        raise InputError(
            f"seqio knows another task or mixture named {name!r}; a name is an identity, choose another"
        )
    registry.add(name, **arguments)
    _REGISTERED[registry].append(name)


def _add_task(name: str, examples: "_RenderedExamples", feature: Any) -> None:
    _add(
        seqio.TaskRegistry,
        name,
        source=examples,
        output_features={"inputs": feature, "targets": feature},
        preprocessors=[
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        metric_fns=list(examples.task.metrics),
    )


class _RenderedExamples(seqio.FunctionDataSource):
    """A task's rendered examples, counted when their number is first asked for."""

    def __init__(
        self,
        task: TemplatedTask,
        splits: Sequence[str],
        selection: Selection,
        tokenizer: Tokenizer,
        train_prompts: Prompts,
        eval_prompts: Prompts,
    ):
        self.task, self._selection, self._tokenizer = task, selection, tokenizer
        self._prompts = {
            split: train_prompts if split == "train" else eval_prompts for split in splits
        }
        self._counts: dict[str, int] = {}
        super().__init__(self._dataset, list(splits))

    def of_template(self, index: int) -> "_RenderedExamples":
        """The same examples in one template alone; one that is turned around is not evaluated."""
        splits = [
            s for s in self.splits if s == "train" or not self.task.templates[index].turned_around
        ]
        alone = Prompts(only=index)
        return _RenderedExamples(self.task, splits, self._selection, self._tokenizer, alone, alone)

    def num_input_examples(self, split: str) -> int:
        if split not in self._counts:
            self._counts[split] = sum(1 for _ in self._texts(split))
        return self._counts[split]

    def examples(self, limit: int | None) -> int:
        """The number of training examples, `limit` if there are more; several renderings count once."""
        numbers = (row.example for row in self._rendered("train"))
        return sum(1 for _ in itertools.islice(itertools.groupby(numbers), limit))

    def _dataset(self, split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        """Unshuffled, whatever is asked: seqio shuffles examples itself, and the rows of a source have one order."""
        text = tf.TensorSpec((), tf.string)
        spec = {"inputs": text, "targets": text}
        return tf.data.Dataset.from_generator(
            functools.partial(self._texts, split), output_signature=spec
        )

    def _texts(self, split: str) -> Iterator[dict[str, str]]:
        for row in self._rendered(split):
            yield {"inputs": row.inputs, "targets": row.targets}

    def _rendered(self, split: str) -> Iterator[TrainRow | EvalRow]:
        request = Request(
            self.task, split, "train" if split == "train" else "eval", self._prompts[split]
        )
        return iter(RenderedExamples(request, self._selection, self._tokenizer))


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
            return np.array(
                self._tokenizer.encode(np.asarray(text).item().decode("utf-8")), np.int32
            )

        ids = tf.numpy_function(encode, [s], tf.int32)
        ids.set_shape([None])
        return ids

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        text = tf.numpy_function(lambda row: self._tokenizer.decode(row.tolist()), [ids], tf.string)
        text.set_shape([])
        return text

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TokenizerJsonVocabulary)
            and self._tokenizer.fingerprint == other._tokenizer.fingerprint
        )

    def __hash__(self) -> int:
        return hash(self._tokenizer.fingerprint)


@dataclasses.dataclass(frozen=True)
class SeqioTask:
    """The rows of a task that was added to seqio's registry: its pretokenized inputs and targets.

    Such tasks are read in the process that added them, and are tokenised by the run's own tokenizer.
    """

    name: str
    train: str | None
    validation: str | None
    test: str | None

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        task, name = seqio.get_mixture_or_task(self.name), getattr(self, split)
        if name is None:
            raise InputError(
                f"the seqio task {self.name!r} has no {split} split, only {', '.join(task.splits)}"
            )
        lengths = dict.fromkeys(task.output_features, 1_000_000)
        dataset = task.get_dataset(lengths, name, shuffle=False, trim_output_features=False)
        for row in dataset.as_numpy_iterator():
            if "inputs_pretokenized" not in row or "targets_pretokenized" not in row:
                raise InputError(
                    f"the seqio task {self.name!r} does not keep its text: let its preprocessors tokenize with "
                    "seqio.preprocessors.tokenize, which copies inputs and targets to *_pretokenized"
                )
            yield {key: row[f"{key}_pretokenized"].decode("utf-8") for key in ("inputs", "targets")}

    def fingerprint(self, split: str) -> str:
        task = seqio.TaskRegistry.get(self.name)
        return fingerprint(self.name, split, vars(task.source), task.preprocessors)

    @property
    def provenance(self) -> dict[str, str]:
        """The name in seqio's registry, see Source.provenance."""
        return {"kind": "seqio", "where": self.name}

    def __reduce__(self):
        raise TypeError("a seqio task is read in the process that registered it")


def find_seqio_task(name: str) -> TemplatedTask | None:
    """The task of this name in seqio's registry as one of ours, in the cluster SEQIO_CLUSTER; None if seqio has none."""
    if name not in seqio.TaskRegistry.names() or name in _REGISTERED[seqio.TaskRegistry]:
        return None
    splits = seqio.TaskRegistry.get(name).splits
    return TemplatedTask(
        name=name,
        cluster=SEQIO_CLUSTER,
        source=SeqioTask(
            name, *(split if split in splits else None for split in ("train", "validation", "test"))
        ),
        fields=_pretokenized,
        templates=(FormatTemplate("{inputs}"),),
    )


def _seqio_names() -> list[str]:
    """Returns the names of the tasks in seqio's registry that are not ours."""
    own_names = _REGISTERED[seqio.TaskRegistry]
    return sorted(set(seqio.TaskRegistry.names()) - set(own_names))


def _pretokenized(row: Mapping[str, Any]) -> dict[str, str]:
    return {"inputs": row["inputs"], "answer": row["targets"]}


# The repository's own tasks, where nobody has registered any yet: `flan2021` is there after this import alone.
if not TASKS and importlib.util.find_spec("tasks") is not None:
    importlib.import_module("tasks")
register_seqio()
register_collection(Collection(name=SEQIO_CLUSTER, names=_seqio_names, find=find_seqio_task))
