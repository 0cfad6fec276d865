"""What the launch scripts do. Each verb takes the run's settings and how it was called."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.table

from flan_jax import manifest, report
from flan_jax import train as training
from flan_jax.data.explain import explain
from flan_jax.data.mixture_data import audit_mixture, prepare_mixture, refuse_leaks, tokenizer_texts
from flan_jax.data.plan import MixturePlan
from flan_jax.data.tokenizers import PRACTICE_MODEL, load_tokenizer, tokenizer_file, train_tokenizer
from flan_jax.errors import InputError
from flan_jax.evaluate import score
from flan_jax.models.layers import ModelConfig
from flan_jax.partitioning import check_batch, make_mesh
from flan_jax.run import Run, read_json
from flan_jax.train_state import count_params, params_like
from flan_jax.weights import check_target, load_params, save_params

__all__ = ["Invocation", "convert", "evaluate", "leakage", "mixture", "prepare", "tokenizer", "train"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invocation:
    """What the flags say beside gin: the run directory, whether to only show, and the whole configuration as text.

    `other` are the settings of the mixture to compare with, `picture` the file to draw to.
    """

    run_dir: str
    dry_run: bool
    config_text: str
    other: training.Settings | None = None
    picture: str | None = None


def train(settings: training.Settings, invocation: Invocation) -> None:
    """Tune a model on a mixture and score it on the held-out cluster before and after."""
    if invocation.dry_run:
        show_plan(settings)
    else:
        training.train(invocation.run_dir, settings, invocation.config_text)


def prepare(settings: training.Settings, invocation: Invocation) -> None:
    """Tokenise a run's data into the cache, so that training starts at once."""
    if invocation.dry_run:
        show_plan(settings)
        return
    data = prepare_mixture(settings.data)
    rows = sum(map(len, data.train.values()))
    print(
        f"{len(data.train)} tasks with {rows:,} training examples and {len(data.evaluation)} evaluation sets are prepared."
    )


def tokenizer(settings: training.Settings, invocation: Invocation) -> None:
    """Train the SentencePiece model that TOKENIZER names on the mixture's training examples, for MODEL's vocabulary."""
    output = PRACTICE_MODEL if settings.data.tokenizer == "practice" else Path(settings.data.tokenizer).expanduser()
    if output.suffix != ".model" or not output.parent.is_dir():
        raise InputError(f"TOKENIZER is {settings.data.tokenizer}; name a *.model file in a folder that is there")
    if invocation.dry_run:
        print(f"a vocabulary of {settings.model.vocab_size} pieces would be written to {output}")
        return
    train_tokenizer(tokenizer_texts(settings.data), output, settings.model.vocab_size)
    print(f"{output}: {load_tokenizer(output).vocab_size} pieces for a model with room for {settings.model.vocab_size}")


def evaluate(settings: training.Settings, invocation: Invocation) -> None:
    """Score the latest checkpoint of a run (or WARM_START) on the run's evaluation sets, as `after` training."""
    data, model = prepare_mixture(settings.data), settings.model
    plan = data.plan(model.architecture)
    lengths = plan.lengths
    if invocation.dry_run:
        for (task, split), store in data.evaluation.items():
            print(f"{task} {split}: {len(store)} prompts")
        return
    mesh = make_mesh(settings.training.mesh)
    manifest.check_vocabulary(model, data.tokenizer)
    print(manifest.check_attention(model, lengths, mesh))
    params = load_params(settings.training.warm_start or invocation.run_dir, model, params_like(model, mesh))
    run = Run(invocation.run_dir)
    facts = manifest.facts(model, data, explain(data, plan, settings.training.steps), mesh)
    run.identify(manifest.identity(model, data, plan, settings.optimizer, settings.training), facts)
    score(
        run, model, data, lengths, mesh, settings.evaluation, "after", params, [*data.split.held_out, *data.split.train]
    )
    report.write(run.path)
    print(report.terminal_summary(run.path))


def mixture(settings: training.Settings, invocation: Invocation) -> None:
    """Explain a mixture: rows, rates, shares, epochs, lengths and truncation of each task."""
    plan, explained = _explained(settings)
    console = _console()
    if invocation.other is None:
        console.print(mixture_table(explained))
    else:
        console.print(difference_table(explained, _explained(invocation.other)[1]))
    console.print(_batch_text(plan, explained), highlight=False, soft_wrap=True)
    if invocation.picture is not None:
        report.draw_mixture(explained, invocation.picture)
        console.print(f"drawn to {invocation.picture}", highlight=False, soft_wrap=True)


def leakage(settings: training.Settings, invocation: Invocation) -> None:
    """Audit a mixture: do its training rows leak into the held-out tasks?"""
    found = audit_mixture(settings.data)
    console = _console()
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, title="What training shares with the held-out tasks", title_justify="left"
    )
    for name in ("held out", "trained on", "origin"):
        table.add_column(name)
    table.add_column("near-duplicates", justify="right")
    table.add_column("of")
    for f in found.findings:
        table.add_row(f.held_out, f.trained, f.origin, f"{f.duplicates:,}", f"{f.examples:,}")
    console.print(table)
    for name, others in found.labels.items():
        console.print(f"the options of {name} are also those of {', '.join(others)}", highlight=False, soft_wrap=True)
    for f in found.findings[:3]:
        if f.pair is not None:
            console.print(f"\n{f.held_out}, held out: {f.pair[0]}\n{f.trained}, trained on: {f.pair[1]}", markup=False)
    refuse_leaks(found.leaks(settings.data.max_leakage or 0.0))
    console.print("no leak")


def convert(
    source: str,
    target: str,
    model: ModelConfig,
    *,
    to: str,
    dtype: str,
    original: str | None,
    tokenizer: str | None,
) -> None:
    """Copy a model's weights into another format: a Hugging Face folder, a T5X checkpoint, or a run's own."""
    check_target(target)  # before the work
    facts = Path(source) / "manifest.json"
    if to == "hugging_face" and original is None and tokenizer is None and facts.is_file():
        tokenizer = read_json(facts)["data"]["tokenizer"]  # what the run was tuned with
    if tokenizer is not None:
        tokenizer = str(tokenizer_file(tokenizer))
        manifest.check_vocabulary(model, load_tokenizer(tokenizer))
    mesh = make_mesh({"fsdp": -1})
    params = load_params(source, model, params_like(model, mesh))
    save_params(target, to, model, params, dtype=dtype, original=original, tokenizer=tokenizer)
    print(f"{count_params(model):,} parameters are in {target}")


def show_plan(settings: training.Settings) -> None:
    """Prints what a run would do: the mixture, the packing, the model's size and its work a step."""
    mesh = make_mesh(settings.training.mesh)
    check_batch(settings.data.batch_size, settings.training.microbatches, mesh)
    plan, explained = _explained(settings)
    attention = manifest.check_attention(settings.model, plan.lengths, mesh)
    console = _console()
    console.print(mixture_table(explained))
    flops = settings.model.train_flops(plan.batch_size, plan.lengths)
    steps = explained["steps"]
    for line in (
        _batch_text(plan, explained),
        (
            f"{count_params(settings.model):,} parameters; {flops / 1e9:,.1f} GFLOP a step, "
            f"{flops * steps / 1e15:,.3f} PFLOP in {steps:,} steps"
        ),
        f"mesh: {dict(mesh.shape)}",
        attention,
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _explained(settings: training.Settings) -> tuple[MixturePlan, dict[str, Any]]:
    data = prepare_mixture(settings.data)
    plan = data.plan(settings.model.architecture)
    return plan, explain(data, plan, settings.training.steps)


def _console() -> rich.console.Console:
    terminal = rich.console.Console()
    return terminal if terminal.is_terminal else rich.console.Console(width=180)


def _batch_text(plan: MixturePlan, explained: Mapping[str, Any]) -> str:
    held_out = explained["held_out"]
    filled = ", ".join(f"{side} {share:.1%}" for side, share in explained["rows_filled"].items())
    return (
        f"held out: {', '.join(held_out) or 'nothing'}\n"
        f"{explained['examples_per_batch']:.1f} examples and {explained['supervised_tokens_per_batch']:,.0f} supervised tokens in a "
        f"batch of {plan.batch_size} rows of {plan.lengths['inputs']} input and {plan.lengths['targets']} target tokens\n"
        f"filled with real tokens: {filled}"
    )


def mixture_table(explained: Mapping[str, Any]) -> rich.table.Table:
    """The tasks of an explained mixture, a line each. Lengths are in tokens: the mean and the 95th percentile."""
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, title=f"Mixture, {explained['steps']:,} steps", title_justify="left"
    )
    table.add_column("task")
    table.add_column("cluster")
    for name in ("rows", "filtered", "rate", "share", "epochs", "inputs", "p95", "targets", "p95", "cut in", "cut out"):
        table.add_column(name, justify="right")
    for task in explained["tasks"]:
        table.add_row(
            task["task"],
            task["cluster"],
            f"{task['examples']:,}",
            f"{task['filtered']:,}",
            f"{task['rate']:,}",
            f"{task['share']:.1%}",
            f"{task['epochs']:.2f}",
            *(f"{task[name]:.0f}" for name in ("mean_inputs", "p95_inputs", "mean_targets", "p95_targets")),
            f"{task['truncated_inputs']:.1%}",
            f"{task['truncated_targets']:.1%}",
        )
    return table


def difference_table(one: Mapping[str, Any], other: Mapping[str, Any]) -> rich.table.Table:
    """Where two explained mixtures differ: each task's share and epochs in the one and in the other."""
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, title="From the first mixture to the other", title_justify="left"
    )
    table.add_column("task")
    for name in ("share", "other", "change", "epochs", "other"):
        table.add_column(name, justify="right")
    sides = [{task["task"]: task for task in mixture["tasks"]} for mixture in (one, other)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        shares = [side[name]["share"] if name in side else 0.0 for side in sides]
        epochs = [f"{side[name]['epochs']:.2f}" if name in side else "-" for side in sides]
        shown = [f"{share:.2%}" if name in side else "-" for share, side in zip(shares, sides, strict=True)]
        table.add_row(name, *shown, f"{100 * (shares[1] - shares[0]):+.2f}", *epochs)
    return table
