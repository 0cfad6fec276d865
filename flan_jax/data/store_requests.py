"""Which examples a store holds: those of a task's split, selected, each in its prompts."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from flan_jax.data.token_store import STORE_VERSION, Kind
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.few_shot import Exemplars
from flan_jax.tasks.fingerprints import fingerprint
from flan_jax.tasks.mixtures import EXAMPLES_PER_DATASET
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import (
    ZERO_SHOT,
    EvalRow,
    TrainRow,
    kept_examples,
    render_eval,
    render_train,
)
from flan_jax.tasks.sources import Source, check_split
from flan_jax.tasks.task import Row, TemplatedTask

Key = tuple[str, str, Kind]
"""(task name, split, kind) of a store."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One store to have. The task's `source` is read as it stands: put what resolve_source gives there first."""

    task: TemplatedTask
    split: str
    kind: Kind
    prompts: Prompts = ZERO_SHOT

    @property
    def key(self) -> Key:
        return self.task.name, self.split, self.kind


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which rows, in which templates. `cap` and `max_eval_examples` count rows that a task keeps; None is all of them.

    `prompt_tokens` is where few-shot prompts end that name no Prompts.exemplar_tokens.
    """

    cap: int | None = EXAMPLES_PER_DATASET
    max_eval_examples: int | None = None
    renderings: int = 1
    assignment: str = "uniform"
    seed: int = 0
    prompt_tokens: int = 1024

    def of(self, request: Request) -> tuple[Any, ...]:
        """The part that shapes the store of a request."""
        train = (self.cap, self.renderings, self.assignment, self.seed)
        own = train if request.kind == "train" else (self.max_eval_examples,)
        if not request.prompts.shots:
            return own
        prompts = request.prompts
        few = (
            prompts.shots,
            prompts.mixed_templates,
            self.cap,
            self.seed,
            self.tokens(prompts),
        )
        return *own, *few, request.task.source.fingerprint("train")

    def tokens(self, prompts: Prompts) -> int:
        """The tokens of a few-shot prompt."""
        return prompts.exemplar_tokens or self.prompt_tokens


def store_fingerprint(
    request: Request, selection: Selection, tokenizer: Tokenizer
) -> str:
    """A hash of all that shapes a store's tokens. Raises InputError when the source lacks the split."""
    task = request.task
    return fingerprint(
        STORE_VERSION,
        task.name,
        task.fields,
        request.prompts.templates_for(task),
        task.options,
        task.source.fingerprint(check_split(request.split)),
        request.kind,
        selection.of(request),
        tokenizer.fingerprint,
        follow=getattr(task.fields, "__module__", ""),
    )


class RenderedExamples:
    """The examples of a request, rendered as they are asked for; `rows` counts the source's rows that were read.

    Few-shot prompts draw from the training split, which is read first.
    """

    def __init__(self, request: Request, selection: Selection, tokenizer: Tokenizer):
        self._request, self._selection, self._tokenizer = request, selection, tokenizer
        self._exemplars: Exemplars | None = None
        self._source = _SourceRows(request.task.source, request.split)

    def __iter__(self) -> Iterator[TrainRow | EvalRow]:
        request, selection = self._request, self._selection
        self._exemplars = self._draw_from() if request.prompts.shots else None
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
            )
        return render_eval(
            request.task,
            self._source,
            max_examples=selection.max_eval_examples,
            prompts=request.prompts,
            split=request.split,
            exemplars=self._exemplars,
        )

    @property
    def rows(self) -> int:
        return self._source.count

    @property
    def mean_exemplars(self) -> float:
        """Exemplars in a prompt, on average over the prompts rendered."""
        found = self._exemplars
        return found.placed / found.prompts if found and found.prompts else 0.0

    def _draw_from(self) -> Exemplars:
        request, selection = self._request, self._selection
        if "train" not in request.task.splits:
            raise InputError(
                "there is no train split to draw exemplars from; use Prompts.shots = 0"
            )
        return Exemplars(
            request.task,
            kept_examples(
                request.task, _SourceRows(request.task.source, "train"), selection.cap
            ),
            request.prompts,
            count_tokens=lambda text: len(self._tokenizer.encode(text)),
            tokens=selection.tokens(request.prompts) - 1,  # EOS takes one
            seed=selection.seed,
        )


class _SourceRows:
    """A split's rows, counted as they are read. Whatever the source raises is the task's failure, not this program's."""

    def __init__(self, source: Source, split: str):
        self.count = 0
        self._source, self._split = source, split

    def __iter__(self) -> Iterator[Row]:
        try:
            for row in self._source.rows(self._split):
                self.count += 1
                yield row
        except InputError:
            raise
        except Exception as error:
            # TensorFlow puts a page of its own frames before what went wrong.
            said = (str(error).strip().splitlines() or [""])[-1].strip()
            raise InputError(
                f"reading row {self.count} raised {type(error).__name__}: {said}"
            ) from error
