"""Our tasks and mixtures in seqio's registries, for T5X and other users, and seqio's tasks in ours.

Importing this module registers the tasks and mixtures that are known by then, with practice rows
and the practice tokenizer, so import the modules with the tasks first. `register_seqio` registers
them again, from other sources or with another tokenizer. A split gives the examples that
flan_jax.data.prepare puts into the stores: `train` each row in a drawn template, `validation` and
`test` each row in every evaluation template. Beside a task `rte` there is `rte_type_3` for its
template 3 alone (FLAN's names), and beside a mixture `flan2021` the two parts of each
leave-one-cluster-out split, `flan2021_without_nli` and `flan2021_nli`.

A task with groups has T5's convention for metrics of groups: its postprocessor makes targets
{"group": ..., "value": text} and predictions {"value": text}. A group is within one template.

Rows are FLAN's, or of another row format that begins with PAD, as seqio's converters do.

A conversation's features are `inputs`, all segments but the last, and `targets`, the last one, each
segment with EOS. seqio's converters have loss on the targets alone; SegmentsFeatureConverter makes
decoder-only rows with loss on every reply.

After the import, a task that was added with seqio.TaskRegistry.add can be named in our mixtures.
"""

import collections
import dataclasses
import functools
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from flan_jax.batch import PAD
from flan_jax.data.loader import fit_segments
from flan_jax.data.row_format import FLAN, RowFormat, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import RenderedExamples, Request, Selection
from flan_jax.data.token_store import TokenSegment
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import leave_one_cluster_out
from flan_jax.tasks.fingerprints import fingerprint
from flan_jax.tasks.metrics import MetricFn, Scores, find_metric
from flan_jax.tasks.mixtures import MAXIMUM_RATE, MIXTURES, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import ZERO_SHOT, EvalRow, TrainRow
from flan_jax.tasks.task import (
    TASKS,
    Collection,
    Row,
    TemplatedTask,
    register_collection,
    resolve_source,
)
from flan_jax.tasks.templates import FormatTemplate, Segment, renders_pairs

SEQIO_CLUSTER = "seqio"
"""The cluster of seqio's own tasks in our mixtures."""
LOSS_WEIGHTS = "inputs_loss_weights"
"""The feature that is 1 where a token of `inputs` has loss."""
GROUP_FEATURES = {
    "group": tf.TensorSpec((), tf.string),
    "group_rows": tf.TensorSpec((), tf.int32),
}
"""The features of evaluation examples of a task with groups, see EvalRow."""
UNLIMITED = 2**31
"""Tokens of a feature whose length seqio does not limit."""


def register_seqio(  # noqa: PLR0913 (the settings of DataConfig that seqio tasks have)
    tokenizer: str = "practice",
    source: str = "sandbox",
    data_dir: str | None = None,
    *,
    extra_ids: int = 0,
    selection: Selection | None = None,
    train_prompts: Prompts = ZERO_SHOT,
    eval_prompts: Prompts = ZERO_SHOT,
    maximum_rate: int | None = MAXIMUM_RATE,
    loss_weights: bool = False,
    row_format: str | RowFormat = "flan",
) -> None:
    """Adds all tasks and mixtures to seqio's registries, in place of what it added before.

    Tasks that lack the source are left out, and so are mixtures that hold them. No row is read
    before a dataset is asked for.

    Args:
      tokenizer: see load_tokenizer.
      source: "sandbox", "tfds" or "jsonl", see resolve_source.
      data_dir: the folder of the data, see resolve_source.
      extra_ids: sentinel tokens that are added to the vocabulary, see load_tokenizer.
      selection: which rows and templates; FLAN's by default.
      train_prompts: how training examples are shown.
      eval_prompts: how evaluation examples are shown.
      maximum_rate: the largest mixing rate of a task; None for no limit.
      loss_weights: whether tasks have the feature LOSS_WEIGHTS, for SegmentsFeatureConverter.
      row_format: how prompts and answers stand in a row, see DataConfig.row_format.

    Raises:
      InputError: seqio knows another task or mixture of the same name, or seqio's converters cannot
        write the row format.
    """
    for registry, names in _REGISTERED.items():
        while names:
            registry.remove(names.pop())
    if not TASKS:
        return

    loaded_tokenizer = load_tokenizer(tokenizer, extra_ids)
    row_tokenizer = RowTokenizer(
        loaded_tokenizer, make_row_format(row_format, loaded_tokenizer, None)
    )
    _check_format(row_tokenizer)
    text_feature = seqio.Feature(seqio_vocabulary(loaded_tokenizer), add_eos=True)
    features = {"inputs": text_feature, "targets": text_feature}
    if loss_weights:
        features[LOSS_WEIGHTS] = seqio.Feature(
            seqio.PassThroughVocabulary(size=2), add_eos=False
        )

    for task in TASKS.values():
        try:
            resolved_source = resolve_source(task, source, data_dir)
        except InputError:
            continue
        examples = _RenderedExamples(
            dataclasses.replace(task, source=resolved_source),
            task.splits,
            selection or Selection(),
            row_tokenizer,
            train_prompts=train_prompts,
            eval_prompts=eval_prompts,
        )
        _add_task(task.name, examples, features)
        for index in range(len(task.templates)):
            _add_task(
                f"{task.name}_type_{index}", examples.in_template(index), features
            )

    for name in MIXTURES:
        _add_mixtures(name, functools.partial(_mixing_rate, maximum=maximum_rate))


def _check_format(row_tokenizer: RowTokenizer) -> None:
    """Raises InputError unless seqio's converters write rows of this format."""
    row_tokenizer.check()
    if row_tokenizer.tokens.start not in (PAD, row_tokenizer.tokenizer.pad_id):
        raise InputError(
            f"the row format begins a row with {row_tokenizer.format.start!r}, but seqio's "
            "converters begin it with the token 0, PAD. Write a RowFormat with start = '{pad}', or "
            "train with launch/train.py"
        )


def _add_mixtures(name: str, rate: Callable[[seqio.Task], int | float]) -> None:
    """Adds a mixture and its leave-one-cluster-out splits if seqio has all their tasks."""
    members = mixture_or_task(name)
    mixtures = {name: [task.name for task in members if "train" in task.splits]}
    clusters = {task.cluster for task in members}
    if len(clusters) > 2:
        for split in leave_one_cluster_out(members):
            held_out_cluster = split.clusters[0]
            mixtures[f"{name}_without_{held_out_cluster}"] = list(split.train)
            mixtures[f"{name}_{held_out_cluster}"] = list(split.held_out)

    for mixture, tasks in mixtures.items():
        if set(tasks) <= seqio.TaskRegistry.names():
            _add(seqio.MixtureRegistry, mixture, tasks=tasks, default_rate=rate)


def _mixing_rate(task: seqio.Task, maximum: int | None) -> int | float:
    """Returns the rate of examples-proportional mixing.

    Of our own tasks no more than `maximum` examples are read to find it.
    """
    if isinstance(task.source, _RenderedExamples):
        return task.source.examples(maximum)
    return seqio.mixing_rate_num_examples(task, maximum=maximum)


_REGISTERED: dict[type, list[str]] = {seqio.MixtureRegistry: [], seqio.TaskRegistry: []}
"""The names that this module added to each registry."""


def _add(registry: type, name: str, **arguments: object) -> None:
    if name in seqio.TaskRegistry.names() or name in seqio.MixtureRegistry.names():
        raise InputError(
            f"seqio knows another task or mixture named {name!r}; a name is an identity, so choose "
            "another"
        )
    registry.add(name, **arguments)
    _REGISTERED[registry].append(name)


def _add_task(
    name: str, examples: "_RenderedExamples", features: Mapping[str, object]
) -> None:
    if examples.are_pairs:
        preprocessors = [
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ]
        if LOSS_WEIGHTS in features:
            preprocessors.append(_without_loss_on_inputs)
    else:
        preprocessors = [
            functools.partial(_segment_features, row_tokenizer=examples.row_tokenizer)
        ]
    metrics = list(examples.task.metrics)
    postprocess = None
    if examples.task.group is not None:
        metrics = [_metric_of_group_values(metric) for metric in metrics]
        postprocess = _group_value
    _add(
        seqio.TaskRegistry,
        name,
        source=examples,
        output_features=features,
        preprocessors=preprocessors,
        postprocess_fn=postprocess,
        metric_fns=metrics,
    )


def _group_value(
    text: str, example: Mapping[str, Any] | None = None, is_target: bool = False
) -> dict[str, object]:
    """Returns a target or a prediction in T5's form, the postprocessor of a task with groups.

    >>> _group_value("yes", {"group": b"3 0/5", "group_rows": 4}, is_target=True)
    {'value': 'yes', 'group': '3 0/5', 'group_rows': 4}

    Args:
      text: the decoded target or prediction.
      example: the example of the evaluation split.
      is_target: whether the text is the target.
    """
    if not is_target:
        return {"value": text}
    assert example is not None
    group = np.asarray(example["group"]).item().decode("utf-8")
    return {"value": text, "group": group, "group_rows": int(example["group_rows"])}


def _metric_of_group_values(metric: MetricFn) -> MetricFn:
    """Returns a metric of a task with groups that has targets and predictions of `_group_value`.

    As in our evaluation, a metric of groups sees whole groups alone.
    """

    @functools.wraps(metric)
    def of_values(targets: Sequence, predictions: Sequence) -> Scores:
        texts = [prediction["value"] for prediction in predictions]
        return metric([target["value"] for target in targets], texts)

    @functools.wraps(metric)
    def of_groups(targets: Sequence, predictions: Sequence) -> Scores:
        scored = collections.Counter(target["group"] for target in targets)
        is_whole = [scored[t["group"]] == t["group_rows"] for t in targets]
        if not any(is_whole):
            name = find_metric(metric).name
            print(
                f"{name} is left out: it scores whole groups, and all are cut. Evaluate more "
                "examples",
                file=sys.stderr,
                flush=True,
            )
            return {}
        return metric(
            list(itertools.compress(targets, is_whole)),
            list(itertools.compress(predictions, is_whole)),
        )

    return of_groups if find_metric(metric).mean_of_groups else of_values


def _without_loss_on_inputs(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Adds loss weights of 0 for the inputs."""
    return dataset.map(
        lambda example: {**example, LOSS_WEIGHTS: tf.zeros_like(example["inputs"])},
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _segment_features(
    dataset: tf.data.Dataset,
    sequence_length: Mapping[str, int] | None,
    *,
    row_tokenizer: RowTokenizer,
) -> tf.data.Dataset:
    """Tokenizes the segments of examples and cuts them as the loader does."""
    limits = dict(sequence_length or {})
    lengths = {side: limits.get(side) or UNLIMITED for side in ("inputs", "targets")}

    def join(texts: np.ndarray, has_loss: np.ndarray) -> tuple[np.ndarray, ...]:
        rendered = [
            Segment(text.decode("utf-8"), loss)
            for text, loss in zip(texts, has_loss.tolist(), strict=True)
        ]
        segments = [
            TokenSegment(np.array(tokens, np.int32), segment.has_loss)
            for tokens, segment in zip(
                row_tokenizer.encode_examples([rendered]), rendered, strict=True
            )
        ]
        inputs, targets = fit_segments(segments, lengths, row_tokenizer.tokens)
        nothing = np.array([], np.int32)
        input_tokens = [nothing]
        input_weights = [nothing]
        for segment in inputs:
            input_tokens.append(segment.tokens)
            input_weights.append(
                np.full(len(segment.tokens), segment.has_loss, np.int32)
            )
        return (
            np.concatenate(input_tokens),
            targets.tokens,
            np.concatenate(input_weights),
        )

    def features(example: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        arguments = [example["texts"], example["has_loss"]]
        arrays = tf.numpy_function(join, arguments, [tf.int32] * 3)
        for array in arrays:
            array.set_shape([None])
        names = ("inputs", "targets", LOSS_WEIGHTS)
        group = {name: example[name] for name in GROUP_FEATURES if name in example}
        return dict(zip(names, arrays, strict=True)) | group

    return dataset.map(features, num_parallel_calls=tf.data.AUTOTUNE)


class _RenderedExamples(seqio.FunctionDataSource):
    """The rendered examples of a task. They are counted when their number is first asked for.

    Attributes:
      task: the task.
      row_tokenizer: measures few-shot prompts, and makes the tokens of segments.
      are_pairs: whether all examples are an input and a target in FLAN's rows.
    """

    def __init__(
        self,
        task: TemplatedTask,
        splits: Sequence[str],
        selection: Selection,
        row_tokenizer: RowTokenizer,
        *,
        train_prompts: Prompts,
        eval_prompts: Prompts,
    ):
        self.task = task
        self.row_tokenizer = row_tokenizer
        self.are_pairs = row_tokenizer.format == FLAN and all(
            renders_pairs(template) for template in task.templates
        )
        self._selection = selection
        self._prompts = dict.fromkeys(splits, eval_prompts)
        if "train" in splits:
            self._prompts["train"] = train_prompts
        self._counts: dict[str, int] = {}
        super().__init__(self._dataset, list(splits))

    def in_template(self, index: int) -> "_RenderedExamples":
        """Returns the same examples in one template alone.

        A template that is turned around is not evaluated.
        """
        splits = list(self.splits)
        if self.task.templates[index].turned_around:
            splits = [split for split in splits if split == "train"]
        prompts = Prompts(only=index)
        return _RenderedExamples(
            self.task,
            splits,
            self._selection,
            self.row_tokenizer,
            train_prompts=prompts,
            eval_prompts=prompts,
        )

    def num_input_examples(self, split: str) -> int:
        """Returns the number of examples of a split."""
        if split not in self._counts:
            self._counts[split] = sum(1 for _ in self._rendered(split))
        return self._counts[split]

    def examples(self, limit: int | None) -> int:
        """Returns the number of training examples; several renderings of one count once.

        Args:
          limit: what is returned if there are more.
        """
        numbers = (row.example for row in self._rendered("train"))
        return sum(1 for _ in itertools.islice(itertools.groupby(numbers), limit))

    def _dataset(
        self, split: str, shuffle_files: bool, seed: int | None = None
    ) -> tf.data.Dataset:
        """Returns the examples in their order. seqio shuffles them itself where that is asked."""
        has_groups = self.task.group is not None and split != "train"
        group_features = GROUP_FEATURES if has_groups else {}
        if self.are_pairs:
            text = tf.TensorSpec((), tf.string)
            return tf.data.Dataset.from_generator(
                functools.partial(self._pairs, split),
                output_signature={"inputs": text, "targets": text, **group_features},
            )
        return tf.data.Dataset.from_generator(
            functools.partial(self._segments, split),
            output_signature={
                "texts": tf.TensorSpec([None], tf.string),
                "has_loss": tf.TensorSpec([None], tf.bool),
                **group_features,
            },
        )

    def _pairs(self, split: str) -> Iterator[dict[str, Any]]:
        for row in self._rendered(split):
            yield {"inputs": row.inputs, "targets": row.targets, **_group_features(row)}

    def _segments(self, split: str) -> Iterator[dict[str, Any]]:
        for row in self._rendered(split):
            if isinstance(row, TrainRow):
                segments = row.segments
            else:
                segments = (Segment(row.inputs, False), Segment(row.targets, True))
            yield {
                "texts": [segment.text for segment in segments],
                "has_loss": [segment.has_loss for segment in segments],
                **_group_features(row),
            }

    def _rendered(self, split: str) -> Iterator[TrainRow | EvalRow]:
        kind = "train" if split == "train" else "eval"
        request = Request(self.task, split, kind, self._prompts[split])
        return iter(RenderedExamples(request, self._selection, self.row_tokenizer))


def _group_features(row: TrainRow | EvalRow) -> dict[str, Any]:
    """Returns the features of GROUP_FEATURES; {} without groups.

    The group's name begins with the template, as a split has each row in every template.
    """
    if isinstance(row, TrainRow) or row.group is None:
        return {}
    return {"group": f"{row.template} {row.group}", "group_rows": row.group_rows}


class SegmentsFeatureConverter(seqio.PrefixLMFeatureConverter):
    """Makes decoder-only rows with loss on every segment with loss, as the loader does.

    seqio's PrefixLMFeatureConverter has loss on the targets alone. The tasks need the feature
    LOSS_WEIGHTS: call register_seqio(loss_weights=True).
    """

    TASK_FEATURES = dict(seqio.PrefixLMFeatureConverter.TASK_FEATURES) | {
        LOSS_WEIGHTS: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)
    }

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        row_length = task_feature_lengths["inputs"] + task_feature_lengths["targets"]
        joined = ds.map(self._join, num_parallel_calls=tf.data.AUTOTUNE)
        lengths: dict[str, int] = dict.fromkeys(
            ("targets", "loss", "prefix"), row_length
        )
        rows = self._pack_or_pad(joined, lengths)
        return rows.map(self._convert_example, num_parallel_calls=tf.data.AUTOTUNE)

    def _join(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Joins inputs and targets. Masks are 1 and 2, because packing takes 0 for padding."""
        targets = features["targets"]
        loss = tf.concat([features[LOSS_WEIGHTS], tf.ones_like(targets)], axis=0)
        prefix_length = tf.argmax(loss, output_type=tf.int32)
        in_prefix = tf.range(tf.size(loss)) <= prefix_length
        return {
            "targets": tf.concat([features["inputs"], targets], axis=0),
            "loss": loss + 1,
            "prefix": tf.cast(in_prefix, tf.int32) + 1,
        }

    def _convert_example(
        self, features: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        example = dict(seqio.LMFeatureConverter._convert_example(self, features))
        example["decoder_loss_weights"] = tf.cast(features["loss"] == 2, tf.int32)
        example["decoder_causal_attention"] = tf.cast(features["prefix"] == 2, tf.int32)
        return example

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Returns the lengths of the arrays: that of inputs and targets together."""
        text_lengths = {
            side: task_feature_lengths[side] for side in ("inputs", "targets")
        }
        return super().get_model_feature_lengths(text_lengths)


def seqio_vocabulary(tokenizer: Tokenizer) -> seqio.Vocabulary:
    """Returns a tokenizer as a seqio vocabulary, which reads the tokenizer's file again."""
    if tokenizer.path.endswith(".model"):
        return seqio.SentencePieceVocabulary(tokenizer.path, tokenizer.extra_ids)
    return TokenizerJsonVocabulary(tokenizer)


class TokenizerJsonVocabulary(seqio.Vocabulary):
    """A Hugging Face tokenizer.json as a seqio vocabulary.

    Within tf.data it runs as a Python function.
    """

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self._tokenizer = tokenizer

    @property
    def bos_id(self) -> int | None:
        """None: such a tokenizer adds no beginning of sequence."""
        return None

    @property
    def eos_id(self) -> int:
        """The id that ends a sequence."""
        return self._tokenizer.eos_id

    @property
    def pad_id(self) -> int:
        """The id of padding."""
        return self._tokenizer.pad_id

    @property
    def unk_id(self) -> int | None:
        """None: every text can be encoded."""
        return None

    @property
    def _base_vocab_size(self) -> int:
        return self._tokenizer.vocab_size

    def _encode(self, s: str) -> Sequence[int]:
        return self._tokenizer.encode(s)

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(
            text: bytes | np.ndarray,
        ) -> np.ndarray:  # in eager mode an array of bytes
            decoded = np.asarray(text).item().decode("utf-8")
            return np.array(self._tokenizer.encode(decoded), np.int32)

        ids = tf.numpy_function(encode, [s], tf.int32)
        ids.set_shape([None])
        return ids

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        def decode(row: np.ndarray) -> str:
            return self._tokenizer.decode(row.tolist())

        text = tf.numpy_function(decode, [ids], tf.string)
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
    """The source of a task that was added to seqio's registry: its pretokenized inputs and targets.

    Such tasks are read in the process that added them, and are tokenized by the run's tokenizer.

    Attributes:
      name: the name in seqio's registry.
      train: seqio's name of the training split; None if there is none.
      validation: as `train`.
      test: as `train`.
    """

    name: str
    train: str | None
    validation: str | None
    test: str | None

    def rows(self, split: str) -> Iterator[Row]:
        """Yields {"inputs": text, "targets": text} of each example of a split.

        Args:
          split: "train", "validation" or "test".

        Raises:
          InputError: the task has no such split, or does not keep its texts.
        """
        task = seqio.get_mixture_or_task(self.name)
        split_name = getattr(self, split)
        if split_name is None:
            raise InputError(
                f"the seqio task {self.name!r} has no {split} split, only {', '.join(task.splits)}"
            )
        lengths = dict.fromkeys(task.output_features, 1_000_000)
        dataset = task.get_dataset(
            lengths, split_name, shuffle=False, trim_output_features=False
        )
        for row in dataset.as_numpy_iterator():
            if "inputs_pretokenized" not in row or "targets_pretokenized" not in row:
                raise InputError(
                    f"the seqio task {self.name!r} does not keep its text: let its preprocessors "
                    "tokenize with seqio.preprocessors.tokenize, which copies inputs and targets "
                    "to *_pretokenized"
                )
            yield {
                key: row[f"{key}_pretokenized"].decode("utf-8")
                for key in ("inputs", "targets")
            }

    def fingerprint(self, split: str) -> str:
        """Returns a hash of what shapes the rows of a split."""
        task = seqio.TaskRegistry.get(self.name)
        return fingerprint(self.name, split, vars(task.source), task.preprocessors)

    @property
    def provenance(self) -> dict[str, str]:
        """The name in seqio's registry, see Source.provenance."""
        return {"kind": "seqio", "where": self.name}

    def __reduce__(self) -> str:
        raise TypeError("a seqio task is read in the process that registered it")


def find_seqio_task(name: str) -> TemplatedTask | None:
    """Returns a task of seqio's registry as one of ours, in the cluster SEQIO_CLUSTER.

    Args:
      name: the task's name.

    Returns:
      The task; None if seqio has none of this name, or if we have added it.
    """
    if name not in _seqio_names():
        return None
    seqio_splits = seqio.TaskRegistry.get(name).splits
    splits = {
        split: split if split in seqio_splits else None
        for split in ("train", "validation", "test")
    }
    return TemplatedTask(
        name=name,
        cluster=SEQIO_CLUSTER,
        source=SeqioTask(name, **splits),
        fields=_pretokenized,
        templates=(FormatTemplate("{inputs}"),),
    )


def _seqio_names() -> list[str]:
    """Returns the names of the tasks in seqio's registry that are not ours."""
    own_names = _REGISTERED[seqio.TaskRegistry]
    return sorted(set(seqio.TaskRegistry.names()) - set(own_names))


def _pretokenized(row: Row) -> dict[str, str]:
    return {"inputs": row["inputs"], "answer": row["targets"]}


# This import alone gives `flan2021`: the repository's tasks are registered if there are none yet.
if not TASKS and importlib.util.find_spec("tasks") is not None:
    importlib.import_module("tasks")
register_seqio()
register_collection(
    Collection(name=SEQIO_CLUSTER, names=_seqio_names, find=find_seqio_task)
)
