"""Requests for token stores: which examples of which task, in which prompts, a store holds."""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping

from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.token_store import STORE_VERSION, Kind
from flan_jax.errors import InputError
from flan_jax.tasks.few_shot import Exemplars
from flan_jax.tasks.fingerprints import fingerprint
from flan_jax.tasks.mixtures import EXAMPLES_PER_DATASET
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import (
    ZERO_SHOT,
    EvalRow,
    TrainRow,
    count_group_rows,
    kept_examples,
    render_eval,
    render_train,
    shuffled_labels,
)
from flan_jax.tasks.sources import Source, check_split
from flan_jax.tasks.task import Row, TemplatedTask
from flan_jax.tasks.templates import ANSWER, OPTIONS

Key = tuple[str, str, Kind]
"""(task name, split, kind) of a store."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A request for one token store.

    Attributes:
      task: the task. Rows are read from its `source` as it is: for a run, that is the one that
        resolve_source returns.
      split: one of SPLITS.
      kind: "train" for rendered training examples, "eval" for prompts, options and references.
      prompts: how examples are shown.
    """

    task: TemplatedTask
    split: str
    kind: Kind
    prompts: Prompts = ZERO_SHOT

    @property
    def key(self) -> Key:
        """What tells the stores of a run apart."""
        return self.task.name, self.split, self.kind

    @property
    def provenance(self) -> dict[str, str]:
        """Where the rows are from, see Source.provenance.

        Raises:
          InputError: the task's source does not say.
        """
        source = self.task.source
        provenance = getattr(source, "provenance", None)
        if isinstance(provenance, Mapping) and "kind" in provenance:
            return dict(provenance)
        lack = f"has the `provenance` {provenance!r}, without a 'kind'"
        if provenance is None:
            lack = "has no `provenance`"
        raise InputError(
            f"task {self.task.name!r}: its source {type(source).__name__} {lack}, from which "
            "reports know where the rows are from. Add it to the class: "
            "provenance = {'kind': 'files', 'where': 'rows.csv'}"
        )


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which examples of a split a store holds, and in which templates.

    Attributes:
      cap: the most examples of a training store; None for all that the task keeps.
      max_eval_examples: the most examples of an evaluation store; None for all that the task keeps.
      renderings: the number of different templates of a training example.
      assignment: how templates are assigned to training examples, see render_train.
      seed: the seed of the draws of templates and exemplars.
      prompt_tokens: the largest number of tokens of a few-shot prompt whose Prompts do not say.
      shuffle_labels: whether each training example of a task with options has the answer of another
        one.
    """

    cap: int | None = EXAMPLES_PER_DATASET
    max_eval_examples: int | None = None
    renderings: int = 1
    assignment: str = "uniform"
    seed: int = 0
    prompt_tokens: int = 1024
    shuffle_labels: bool = False

    def fingerprint_fields(self, request: Request) -> tuple[object, ...]:
        """Returns the fields of the selection that shape the store of a request.

        >>> Selection(max_eval_examples=200).fingerprint_fields(Request(task, "test", "eval"))
        (200,)
        """
        if request.kind == "train":
            fields = (self.cap, self.renderings, self.assignment, self.seed)
            if self.shuffles(request):
                fields = (*fields, "shuffled labels")
        else:
            fields = (self.max_eval_examples,)
        prompts = request.prompts
        if not prompts.shots:
            return fields
        return (
            *fields,
            prompts.shots,
            prompts.mixed_templates,
            self.cap,
            self.seed,
            self.few_shot_tokens(prompts),
            request.task.source.fingerprint("train"),
            # An evaluation store knows the most frequent answer of the training split.
            *(("most_frequent_answer",) if request.kind == "eval" else ()),
        )

    def shuffles(self, request: Request) -> bool:
        """Returns whether a store has the answers of its examples shuffled."""
        has_options = request.task.options is not None
        return self.shuffle_labels and request.kind == "train" and has_options

    def few_shot_tokens(self, prompts: Prompts) -> int:
        """Returns the largest number of tokens of a few-shot prompt."""
        return prompts.exemplar_tokens or self.prompt_tokens


def store_fingerprint(
    request: Request, selection: Selection, row_tokenizer: RowTokenizer
) -> str:
    """Returns a hash of everything that shapes a store's tokens.

    Args:
      request: the request for the store.
      selection: which examples it holds.
      row_tokenizer: makes its tokens.

    Raises:
      InputError: the split is unknown, or the source cannot be read.
    """
    task = request.task
    return fingerprint(
        STORE_VERSION,
        task.name,
        task.fields,
        request.prompts.templates_for(task),
        task.options,
        task.group,
        task.source.fingerprint(check_split(request.split)),
        request.kind,
        selection.fingerprint_fields(request),
        row_tokenizer.fingerprint_fields,
        follow=getattr(task.fields, "__module__", ""),
    )


class RenderedExamples:
    """The rendered examples of a request. Each iteration reads and renders them anew, one by one.

    Few-shot exemplars are drawn from the training split, which is read first.
    """

    def __init__(
        self, request: Request, selection: Selection, row_tokenizer: RowTokenizer
    ):
        """Reads nothing yet.

        Args:
          request: the request.
          selection: which examples, in which templates.
          row_tokenizer: counts the tokens of few-shot prompts.
        """
        self._request = request
        self._selection = selection
        self._row_tokenizer = row_tokenizer
        self._exemplars: Exemplars | None = None
        self._source = _SourceRows(request.task.source, request.split)

    def __iter__(self) -> Iterator[TrainRow | EvalRow]:
        request = self._request
        selection = self._selection
        self._exemplars = self._draw_exemplars() if request.prompts.shots else None
        if request.kind == "train":
            return render_train(
                request.task,
                self._source,
                cap=selection.cap,
                prompts=request.prompts,
                renderings=selection.renderings,
                assignment=selection.assignment,
                seed=selection.seed,
                exemplars=self._exemplars,
                shuffle_labels=selection.shuffles(request),
            )
        return render_eval(
            request.task,
            self._source,
            max_examples=selection.max_eval_examples,
            prompts=request.prompts,
            split=request.split,
            exemplars=self._exemplars,
            group_rows=self._group_rows,
        )

    @property
    def rows_read(self) -> int:
        """The number of the source's rows that were read."""
        return self._source.rows_read

    @property
    def mean_exemplars(self) -> float:
        """The mean number of exemplars in the prompts that were rendered; 0 without exemplars."""
        exemplars = self._exemplars
        if exemplars is None or not exemplars.prompts:
            return 0.0
        return exemplars.placed / exemplars.prompts

    @functools.cached_property
    def _group_rows(self) -> dict[str, int] | None:
        """The size of each group in the whole split, whatever the cap; None without groups."""
        task = self._request.task
        if task.group is None:
            return None
        return count_group_rows(task, _SourceRows(task.source, self._request.split))

    @property
    def most_frequent_answer(self) -> int | None:
        """The index of the option that is most often right in the training split.

        None without exemplars, which are drawn from that split, or without options.
        """
        exemplars = self._exemplars
        if exemplars is None or self._request.task.options is None:
            return None
        counts = collections.Counter(
            tuple(example[OPTIONS]).index(example[ANSWER])
            for _, example in exemplars.pool
        )
        most = max(counts.values())
        return min(index for index, count in counts.items() if count == most)

    def _draw_exemplars(self) -> Exemplars:
        task = self._request.task
        prompts = self._request.prompts
        selection = self._selection
        if "train" not in task.splits:
            raise InputError(
                "there is no train split to draw exemplars from; use Prompts.shots = 0"
            )
        rows = _SourceRows(task.source, "train")
        tokenizer = self._row_tokenizer.tokenizer
        examples = kept_examples(task, rows, selection.cap)
        if selection.shuffles(self._request):
            examples = shuffled_labels(task, examples, selection.seed)
        room = selection.few_shot_tokens(prompts) - self._row_tokenizer.prompt_overhead
        return Exemplars(
            task,
            examples,
            prompts,
            count_tokens=lambda text: len(tokenizer.encode(text)),
            tokens=room,
            seed=selection.seed,
        )


class _SourceRows:
    """The rows of a split. Turns any exception of the source into an InputError.

    Attributes:
      rows_read: the number of rows that were read.
    """

    def __init__(self, source: Source, split: str):
        self.rows_read = 0
        self._source = source
        self._split = split

    def __iter__(self) -> Iterator[Row]:
        try:
            for row in self._source.rows(self._split):
                self.rows_read += 1
                yield row
        except InputError:
            raise
        except Exception as error:
            # The last line: TensorFlow puts a page of its own frames before it.
            lines = str(error).strip().splitlines() or [""]
            raise InputError(
                f"reading row {self.rows_read} raised {type(error).__name__}: {lines[-1].strip()}"
            ) from error
