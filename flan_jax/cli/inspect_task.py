"""What a task's author looks at: rendered examples in colours, the tokens that receive loss, and what is cut or lost."""

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

from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples, render
from flan_jax.tasks.sources import SPLITS
from flan_jax.tasks.task import TemplatedTask, get_task, resolve_source
from flan_jax.tasks.templates import OPTIONS, AnyTemplate

FIELD, SUFFIX, LOSS, CUT = "cyan", "yellow", "black on green", "red strike"


class Counts(NamedTuple):
    """Over the counted examples in one template. Lengths are in tokens with EOS."""

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
    tokenizer: Tokenizer,
    lengths: Mapping[str, int],
) -> Counts:
    """Renders and tokenises `examples`. Unsupervised are those of whose targets nothing but EOS is left to learn."""
    pairs = [render(task, template, number, example) for number, example in examples]
    inputs = [len(ids) + 1 for ids in tokenizer.encode_batch([pair[0] for pair in pairs])]
    targets = [len(ids) + 1 for ids in tokenizer.encode_batch([pair[1] for pair in pairs])]
    return Counts(
        examples=len(pairs),
        mean_inputs=sum(inputs) / len(pairs),
        mean_targets=sum(targets) / len(pairs),
        cut_inputs=sum(length > lengths["inputs"] for length in inputs),
        cut_targets=sum(length > lengths["targets"] for length in targets),
        unsupervised=sum(min(length, lengths["targets"]) < 2 for length in targets),
    )


def coloured(template: AnyTemplate, inputs: str, example: Mapping[str, Any]) -> rich.text.Text:
    """Returns the rendered `inputs`; fields and options in colours if the template names its parts."""
    input_parts = getattr(template, "input_parts", None)
    if input_parts is None:
        return rich.text.Text(inputs)
    text = rich.text.Text()
    for part, name in input_parts(example):
        if name is None:
            text.append(part)
        else:
            text.append(part, SUFFIX if name == OPTIONS else FIELD)
    text.rstrip()
    return text


def tokens_with_loss(targets: str, tokenizer: Tokenizer, length: int) -> rich.text.Text:
    """The target tokens one by one: those with loss, EOS among them, and those that are cut."""
    ids = tokenizer.encode(targets)
    text = rich.text.Text()
    for place, token in enumerate(ids):
        shown = tokenizer.decode([token]).replace("\n", "\\n") or f"<{token}>"
        text.append(shown, LOSS if place < length - 1 else CUT)
        text.append(" ")
    text.append("</s>", LOSS)
    return text


def show(
    task: TemplatedTask,
    *,
    split: str,
    tokenizer: Tokenizer,
    lengths: Mapping[str, int],
    prompts: Prompts,
    templates: Sequence[int],
    rows: int,
    counted: int,
    console: rich.console.Console,
) -> None:
    """Prints `rows` examples in each of `templates` (all, if there are none), then a table over `counted` examples."""
    shown = prompts.templates_for(task)
    unknown = [index for index in templates if not 0 <= index < len(shown)]
    if unknown:
        raise InputError(
            f"task {task.name!r} has no template {unknown[0]}; its templates are 0 to {len(shown) - 1}"
        )
    source = task.source.rows(split)
    examples = list(itertools.islice(kept_examples(task, source, None), max(rows, counted)))
    if not examples:
        raise InputError(f"task {task.name!r}: no row of the {split} split is kept")
    console.print(_about(task, shown), highlight=False)
    for index, template in enumerate(shown):
        if templates and index not in templates:
            continue
        for number, example in examples[:rows]:
            _show_example(
                task,
                template,
                f"template {index}, row {number}",
                number,
                example,
                tokenizer,
                lengths,
                console,
            )
    console.print(_table(task, shown, examples[:counted], tokenizer, lengths))


def _about(task: TemplatedTask, shown: Sequence[AnyTemplate]) -> rich.text.Text:
    options = ", ".join(task.options) if isinstance(task.options, tuple) else task.options
    kind = f"options: {options}" if task.options else "generation"
    metrics = ", ".join(metric.__name__ for metric in task.metrics)
    turned = sum(template.turned_around for template in shown)
    text = rich.text.Text(f"{task.name}", "bold")
    text.append(
        f" · {task.cluster} · {kind} · {metrics} · {len(shown)} templates, {turned} turned around\n",
        "not bold",
    )
    text.append("instruction  ", "not bold")
    for name, style in (
        ("field", FIELD),
        ("options", SUFFIX),
        ("token with loss", LOSS),
        ("cut", CUT),
    ):
        text.append(name, f"not bold {style}").append("  ", "not bold")
    return text


def _show_example(task, template, title, number, example, tokenizer, lengths, console) -> None:
    inputs, targets = render(task, template, number, example)
    ids = tokenizer.encode(inputs)
    turned = " (turned around: not evaluated)" if template.turned_around else ""
    console.rule(f"{title}{turned}", align="left", style="dim")
    console.print(coloured(template, inputs, example), highlight=False, soft_wrap=True)
    lost = ids[lengths["inputs"] - 1 :]
    if lost:
        cut = rich.text.Text(f"cut, {len(lost)} of {len(ids)} tokens: ", "red").append(
            tokenizer.decode(lost), CUT
        )
        console.print(cut, highlight=False, soft_wrap=True)
    console.print(
        rich.text.Text("targets ", "dim")
        + tokens_with_loss(targets, tokenizer, lengths["targets"]),
        soft_wrap=True,
    )
    console.print()


def _table(task, shown, examples, tokenizer, lengths) -> rich.table.Table:
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        title=f"{len(examples)} examples; at most {lengths['inputs']} input and {lengths['targets']} target tokens",
        title_justify="left",
    )
    table.add_column("template")
    for name in ("mean inputs", "mean targets", "cut inputs", "cut targets", "unsupervised"):
        table.add_column(name, justify="right")
    for index, template in enumerate(shown):
        c = count(task, template, examples, tokenizer, lengths)
        mark = " turned around" if template.turned_around else ""
        numbers = (
            f"{c.mean_inputs:.0f}",
            f"{c.mean_targets:.0f}",
            c.cut_inputs,
            c.cut_targets,
            c.unsupervised,
        )
        table.add_row(f"{index}{mark}", *map(str, numbers))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The program launch/inspect_task.py; returns its exit code, 0 or 2."""
    parser = argparse.ArgumentParser(
        prog="inspect_task.py",
        description="Show a task as a model sees it, while you write its templates.",
    )
    parser.add_argument("task")
    parser.add_argument(
        "--template", type=int, action="append", default=[], help="only this template; repeatable"
    )
    parser.add_argument(
        "--rows", type=int, default=1, help="rows shown in each template (default 1)"
    )
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument(
        "--count", type=int, default=200, help="examples behind the table (default 200)"
    )
    parser.add_argument(
        "--source", default="sandbox", help="sandbox, tfds or jsonl, as the macro SOURCE"
    )
    parser.add_argument("--data_dir", help="as the macro DATA_DIR")
    parser.add_argument("--tokenizer", default="practice", help="as the macro TOKENIZER")
    parser.add_argument(
        "--inputs", type=int, default=128, help="input tokens of a row (default 128)"
    )
    parser.add_argument(
        "--targets", type=int, default=48, help="target tokens of a row (default 48)"
    )
    parser.add_argument("--instructions", default="natural", help="natural, none or dataset_name")
    parser.add_argument("--no_options", action="store_true", help="leave the options suffix out")
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
            raise InputError(f"--{name} is {getattr(flags, name)}; it must be at least 1")
    if flags.targets < 2:
        raise InputError(f"--targets is {flags.targets}; it must be at least 2, as EOS takes one")
    # A user's own modules lie where the user is.
    sys.path.append(os.getcwd())
    for module in flags.module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(f"--import={module}: {error}") from error
    task = get_task(flags.task)
    source = resolve_source(task, flags.source, flags.data_dir)
    show(
        dataclasses.replace(task, source=source),
        split=flags.split,
        tokenizer=load_tokenizer(flags.tokenizer),
        lengths={"inputs": flags.inputs, "targets": flags.targets},
        prompts=Prompts(instructions=flags.instructions, options=not flags.no_options),
        templates=flags.template,
        rows=flags.rows,
        counted=flags.count,
        console=rich.console.Console(),
    )
