"""Shows a task as a model sees it: rendered examples, the tokens with loss, and what is cut."""

import argparse
import dataclasses
import importlib
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.box
import rich.console
import rich.table
import rich.text

from flan_jax.data.row_format import make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError, plural, unknown_name
from flan_jax.progress import table_console
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples, render_segments
from flan_jax.tasks.sources import SPLITS
from flan_jax.tasks.task import TemplatedTask, find_task, resolve_source, task_names
from flan_jax.tasks.templates import OPTIONS, AnyTemplate, Segment, renders_pairs

FIELD = "cyan"
SUFFIX = "yellow"
LOSS = "black on green"
CUT = "red strike"
LEGEND = (
    ("field", FIELD),
    ("options", SUFFIX),
    ("token with loss", LOSS),
    ("cut", CUT),
)


class Counts(NamedTuple):
    """Statistics of the examples in one template.

    The targets are the last segment of an example, the inputs those before it.

    Attributes:
      examples: how many examples were counted.
      mean_inputs: the mean number of input tokens, with their ends.
      mean_targets: the mean number of target tokens, with their end.
      cut_inputs: examples whose inputs are too long for a row.
      cut_targets: examples whose targets are too long for a row.
      unsupervised: examples with nothing but their end left to learn.
    """

    examples: int
    mean_inputs: float
    mean_targets: float
    cut_inputs: int
    cut_targets: int
    unsupervised: int


def count(
    task: TemplatedTask,
    template: AnyTemplate,
    examples: Sequence[tuple[int, Mapping[str, Any]]],
    *,
    row_tokenizer: RowTokenizer,
    lengths: Mapping[str, int],
) -> Counts:
    """Renders, tokenizes and counts examples.

    Args:
      task: the task.
      template: one of its templates.
      examples: (number of the row, fields) of each example.
      row_tokenizer: makes their tokens.
      lengths: tokens of a row, {"inputs": E, "targets": D}.
    """
    end = len(row_tokenizer.tokens.answer_tail)
    input_lengths: list[int] = []
    target_lengths: list[int] = []
    for number, example in examples:
        segments = render_segments(task, template, number, example)
        tokens = row_tokenizer.encode_examples([segments])
        *inputs, targets = [len(ids) for ids in tokens]
        input_lengths.append(sum(inputs))
        target_lengths.append(targets)
    return Counts(
        examples=len(examples),
        mean_inputs=sum(input_lengths) / len(examples),
        mean_targets=sum(target_lengths) / len(examples),
        cut_inputs=sum(length > lengths["inputs"] for length in input_lengths),
        cut_targets=sum(length > lengths["targets"] for length in target_lengths),
        unsupervised=sum(
            min(length, lengths["targets"]) <= end for length in target_lengths
        ),
    )


def color_parts(
    template: AnyTemplate, inputs: str, example: Mapping[str, Any]
) -> rich.text.Text:
    """Returns the inputs with fields and options in colors if the template names its parts.

    Args:
      template: the template.
      inputs: what it rendered.
      example: the fields that it rendered.
    """
    input_parts = getattr(template, "input_parts", None)
    if input_parts is None:
        return rich.text.Text(inputs)
    text = rich.text.Text()
    for part, field in input_parts(example):
        if field is None:
            text.append(part)
        else:
            text.append(part, SUFFIX if field == OPTIONS else FIELD)
    text.rstrip()
    return text


def tokens_with_loss(
    ids: Sequence[int], row_tokenizer: RowTokenizer, length: int
) -> rich.text.Text:
    """Returns the tokens of an answer one by one; those that are cut are struck out.

    Args:
      ids: the tokens, with those that end the answer.
      row_tokenizer: made them.
      length: how many tokens fit.
    """
    end = len(row_tokenizer.tokens.answer_tail)
    kept = min(len(ids), length) - end
    tokens = rich.text.Text()
    for place, token in enumerate(ids):
        is_cut = kept <= place < len(ids) - end
        if place:
            tokens.append(" ")
        tokens.append(row_tokenizer.spelled([token]), CUT if is_cut else LOSS)
    return tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Inspector:
    """Prints a task.

    Attributes:
      task: the task.
      templates: its templates.
      row_tokenizer: makes the tokens of rows.
      lengths: tokens of a row, {"inputs": E, "targets": D}.
      console: where to print.
    """

    task: TemplatedTask
    templates: Sequence[AnyTemplate]
    row_tokenizer: RowTokenizer
    lengths: Mapping[str, int]
    console: rich.console.Console

    def print_header(self) -> None:
        task = self.task
        if task.options is None:
            answers = "generation"
        else:
            answers = f"options: {_joined(task.options)}"
        metrics = ", ".join(metric.__name__ for metric in task.metrics)
        groups = "" if task.group is None else f" · grouped by {task.group}"
        turned_around = sum(template.turned_around for template in self.templates)
        templates = plural(len(self.templates), "template")
        text = rich.text.Text(task.name, "bold")
        text.append(
            f" · {task.cluster} · {answers}{groups} · {metrics} · {templates}, "
            f"{turned_around} turned around\n",
            "not bold",
        )
        text.append("instruction  ", "not bold")
        for name, style in LEGEND:
            text.append(name, f"not bold {style}")
            text.append("  ", "not bold")
        self.console.print(text, highlight=False, soft_wrap=True)

    def print_example(
        self, index: int, number: int, example: Mapping[str, Any]
    ) -> None:
        """Prints one example in one template.

        Args:
          index: the index of the template.
          number: the number of the row.
          example: the fields of the row.
        """
        template = self.templates[index]
        note = " (turned around: not evaluated)" if template.turned_around else ""
        title = f"template {index}, row {number}{note}"
        self.console.rule(title, align="left", style="dim")
        segments = render_segments(self.task, template, number, example)
        *input_ids, target_ids = self.row_tokenizer.encode_examples([segments])
        inputs = segments[:-1]
        if renders_pairs(template):
            self._print(color_parts(template, inputs[0].text, example))
        else:
            for segment, ids in zip(inputs, input_ids, strict=True):
                self._print_input_segment(segment, ids)
        self._print_cut_inputs(input_ids)
        self._print(
            rich.text.Text("targets ", "dim"),
            tokens_with_loss(target_ids, self.row_tokenizer, self.lengths["targets"]),
        )
        start = self.row_tokenizer.tokens.start
        before = [] if start is None else [start]
        ids = itertools.chain(before, *input_ids, target_ids)
        row = rich.text.Text(self.row_tokenizer.spelled(list(ids)), "dim")
        self._print(rich.text.Text("row ", "dim"), row)
        self.console.print()

    def _print_input_segment(self, segment: Segment, ids: Sequence[int]) -> None:
        if not segment.has_loss:
            self._print(rich.text.Text(segment.text))
            return
        self._print(
            rich.text.Text("reply ", "dim"),
            tokens_with_loss(ids, self.row_tokenizer, len(ids)),
        )

    def _print_cut_inputs(self, token_ids: Sequence[Sequence[int]]) -> None:
        """Says how many of the input tokens do not fit into a row, and which."""
        limit = self.lengths["inputs"]
        if len(token_ids) == 1:
            (ids,) = token_ids
            end = len(self.row_tokenizer.tokens.prompt_tail)
            cut = ids[limit - end : len(ids) - end] if len(ids) > limit else []
            if cut:
                count = f"cut, {len(cut)} of {plural(len(ids) - end, 'token')}: "
                text = self.row_tokenizer.spelled(cut)
                self._print(rich.text.Text(count, "red"), rich.text.Text(text, CUT))
            return
        total = sum(map(len, token_ids))
        if total > limit:
            note = f"cut: {total} tokens before the targets, {limit} fit; the oldest are left out"
            self._print(rich.text.Text(note, "red"))

    def print_table(self, examples: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Prints the statistics of examples in every template.

        Args:
          examples: (number of the row, fields) of each example.
        """
        inputs, targets = self.lengths["inputs"], self.lengths["targets"]
        table = rich.table.Table(
            box=rich.box.SIMPLE_HEAD,
            title=f"{plural(len(examples), 'example')}; at most {inputs} input and {targets} "
            "target tokens",
            title_justify="left",
        )
        table.add_column("template")
        for name in (
            "mean inputs",
            "mean targets",
            "cut inputs",
            "cut targets",
            "unsupervised",
        ):
            table.add_column(name, justify="right")
        for index, template in enumerate(self.templates):
            counts = count(
                self.task,
                template,
                examples,
                row_tokenizer=self.row_tokenizer,
                lengths=self.lengths,
            )
            note = " turned around" if template.turned_around else ""
            table.add_row(
                f"{index}{note}",
                f"{counts.mean_inputs:.0f}",
                f"{counts.mean_targets:.0f}",
                str(counts.cut_inputs),
                str(counts.cut_targets),
                str(counts.unsupervised),
            )
        self.console.print(table)

    def _print(self, *parts: rich.text.Text) -> None:
        self.console.print(
            rich.text.Text.assemble(*parts), highlight=False, soft_wrap=True
        )


def _joined(options: Sequence[str] | str) -> str:
    return options if isinstance(options, str) else ", ".join(options)


def show(  # noqa: PLR0913 (the program's settings)
    task: TemplatedTask,
    *,
    split: str,
    row_tokenizer: RowTokenizer,
    lengths: Mapping[str, int],
    prompts: Prompts,
    templates: Sequence[int],
    rows: int,
    counted: int,
    console: rich.console.Console,
) -> None:
    """Prints examples of a task in its templates, and a table of statistics.

    Args:
      task: the task.
      split: which of its splits.
      row_tokenizer: makes the tokens of rows.
      lengths: tokens of a row, {"inputs": E, "targets": D}.
      prompts: how examples are shown.
      templates: the indices of the templates to show; all if there are none.
      rows: how many examples to show in each template.
      counted: how many examples the table counts.
      console: where to print.

    Raises:
      InputError: there is no such template, no row, or an example cannot be rendered.
    """
    all_templates = prompts.templates_for(task)
    for index in templates:
        if not 0 <= index < len(all_templates):
            raise InputError(
                f"task {task.name!r} has no template {index}; its templates are 0 to "
                f"{len(all_templates) - 1}"
            )
    source = task.source.rows(split)
    kept = kept_examples(task, source, None)
    examples = list(itertools.islice(kept, max(rows, counted)))
    if not examples:
        raise InputError(f"task {task.name!r}: no row of the {split} split is kept")

    inspector = _Inspector(
        task=task,
        templates=all_templates,
        row_tokenizer=row_tokenizer,
        lengths=lengths,
        console=console,
    )
    inspector.print_header()
    for index in range(len(all_templates)):
        if templates and index not in templates:
            continue
        for number, example in examples[:rows]:
            inspector.print_example(index, number, example)
    inspector.print_table(examples[:counted])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program launch/inspect_task.py.

    Args:
      arguments: the command line; sys.argv by default.

    Returns:
      The exit code, 0 or 2.
    """
    parser = argparse.ArgumentParser(
        prog="inspect_task.py",
        description="Show a task as a model sees it, while you write its templates.",
    )
    parser.add_argument("task")
    parser.add_argument(
        "--template",
        type=int,
        action="append",
        default=[],
        help="only this template; repeatable",
    )
    parser.add_argument(
        "--rows", type=int, default=1, help="rows shown in each template (default 1)"
    )
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument(
        "--count", type=int, default=200, help="examples behind the table (default 200)"
    )
    parser.add_argument(
        "--source",
        default="sandbox",
        help="sandbox, tfds or jsonl, as the macro SOURCE",
    )
    parser.add_argument("--data_dir", help="as the macro DATA_DIR")
    parser.add_argument(
        "--tokenizer", default="practice", help="as the macro TOKENIZER"
    )
    parser.add_argument(
        "--row_format",
        default="flan",
        help="flan, text or chat, as the macro ROW_FORMAT",
    )
    parser.add_argument(
        "--inputs", type=int, default=128, help="input tokens of a row (default 128)"
    )
    parser.add_argument(
        "--targets", type=int, default=48, help="target tokens of a row (default 48)"
    )
    parser.add_argument(
        "--instructions",
        default="natural",
        help="natural, none, dataset_name, cloze or hypothesis_only",
    )
    parser.add_argument(
        "--no_options", action="store_true", help="leave the options suffix out"
    )
    parser.add_argument(
        "--import",
        dest="module",
        action="append",
        default=["tasks"],
        help="a module that registers tasks",
    )
    flags = parser.parse_args(arguments)
    try:
        _run(flags)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(flags: argparse.Namespace) -> None:
    for name in ("rows", "count", "inputs"):
        if getattr(flags, name) < 1:
            raise InputError(
                f"--{name} is {getattr(flags, name)}; it must be at least 1"
            )
    if flags.targets < 2:
        raise InputError(
            f"--targets is {flags.targets}; it must be at least 2, as EOS takes one"
        )
    # A user's own modules lie where the user is.
    sys.path.append(os.getcwd())
    for module in flags.module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(f"--import={module}: {error}") from error
    task = find_task(flags.task)
    if task is None:
        raise unknown_name(
            "task",
            flags.task,
            task_names(),
            "One of your own is known once the module that registers it is imported: "
            "--import=my_module",
        )
    source = resolve_source(task, flags.source, flags.data_dir)
    show(
        dataclasses.replace(task, source=source),
        split=flags.split,
        row_tokenizer=_row_tokenizer(flags.tokenizer, flags.row_format),
        lengths={"inputs": flags.inputs, "targets": flags.targets},
        prompts=Prompts(instructions=flags.instructions, options=not flags.no_options),
        templates=flags.template,
        rows=flags.rows,
        counted=flags.count,
        console=table_console(),
    )


def _row_tokenizer(path: str, name: str) -> RowTokenizer:
    tokenizer = load_tokenizer(path)
    row_format = make_row_format(name, tokenizer, start_id=None)
    row_tokenizer = RowTokenizer(tokenizer, row_format)
    row_tokenizer.check()
    return row_tokenizer
