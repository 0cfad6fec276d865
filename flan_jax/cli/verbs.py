"""What the launch scripts do. Each verb takes the run's settings and how it was called."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.box
import rich.console
import rich.table

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.config import fixed_lengths
from flan_jax.data.leakage import audit_mixture, check_leakage, refuse_leaks
from flan_jax.data.mixture_data import not_evaluated, prepare_mixture, tokenizer_texts
from flan_jax.data.mixture_summary import summarize_mixture
from flan_jax.data.tokenizers import PRACTICE_MODEL, load_tokenizer, tokenizer_file, train_tokenizer
from flan_jax.errors import InputError
from flan_jax.evaluation import evaluate as evaluation
from flan_jax.evaluation.config import EvalContext
from flan_jax.json_files import read_json, write_json
from flan_jax.models.attention_backends import check_attention
from flan_jax.models.config import ModelConfig
from flan_jax.models.params import abstract_params_on, check_vocabulary, count_params
from flan_jax.parallel import multihost
from flan_jax.parallel.mesh import make_mesh
from flan_jax.preflight import report
from flan_jax.progress import table_console
from flan_jax.reports import run_report
from flan_jax.reports.mixture import draw_mixture
from flan_jax.run_dir import LEAKAGE, MANIFEST, Run
from flan_jax.sweeps.sweep_dir import Plan
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.tasks.task import get_task
from flan_jax.training import manifest
from flan_jax.training import train as training
from flan_jax.training.metrics_log import NO_STEPS, profiled_steps
from flan_jax.training.settings import Settings
from flan_jax.training.setup import prepare_run
from flan_jax.weights.formats import check_target, load_params, save_params, source_facts
from flan_jax.weights.orbax import latest_folder

__all__ = [
    "Invocation",
    "convert",
    "evaluate",
    "leakage",
    "mixture",
    "preflight",
    "prepare",
    "tokenizer",
    "train",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invocation:
    """What the flags say beside gin: the run directory, whether to only show, and the whole configuration as text.

    `other` are the settings of the mixture to compare with, `picture` the file to draw to, `tasks` what to evaluate,
    `topology` the TPU slice to compile for, `search` whether to search for a mesh there, and the run is one of `runs`
    alike or of the runs of `plan`. `profile`: the steps to trace, "N:M".
    """

    run_dir: str
    dry_run: bool
    config_text: str
    other: Settings | None = None
    picture: str | None = None
    tasks: Sequence[str] | None = None
    topology: str | None = None
    search: bool = False
    profile: str | None = None
    runs: int | None = None
    plan: Plan | None = None


def train(settings: Settings, invocation: Invocation) -> None:
    """Tune a model on a mixture and score it on the held-out cluster before and after."""
    text = invocation.profile
    profile = NO_STEPS if text is None else profiled_steps(text, settings.training.steps)
    if invocation.dry_run:
        show_plan(settings)
    else:
        training.train(invocation.run_dir, settings, invocation.config_text, profile=profile)


def prepare(settings: Settings, invocation: Invocation) -> None:
    """Tokenise a run's data into the cache, so that training starts at once."""
    if invocation.dry_run:
        show_plan(settings)
        return
    check_leakage(settings.data)
    data = prepare_mixture(settings.data, settings.evaluation.more)
    rows = sum(map(len, data.train.values()))
    print(
        f"{len(data.train)} tasks with {rows:,} training examples and {len(data.evaluation)} evaluation sets are prepared."
    )


def tokenizer(settings: Settings, invocation: Invocation) -> None:
    """Train the SentencePiece model that TOKENIZER names on the mixture's training examples, for MODEL's vocabulary."""
    output = (
        PRACTICE_MODEL
        if settings.data.tokenizer == "practice"
        else Path(settings.data.tokenizer).expanduser()
    )
    if output.suffix != ".model" or not output.parent.is_dir():
        raise InputError(
            f"TOKENIZER is {settings.data.tokenizer}; name a *.model file in a folder that is there"
        )
    if invocation.dry_run:
        print(f"a vocabulary of {settings.model.vocab_size} pieces would be written to {output}")
        return
    train_tokenizer(tokenizer_texts(settings.data), output, settings.model.vocab_size)
    print(
        f"{output}: {load_tokenizer(output).vocab_size} pieces for a model with room for {settings.model.vocab_size}"
    )


def evaluate(settings: Settings, invocation: Invocation) -> None:
    """Score the checkpoint WARM_START, or else the latest one of the run, on any tasks, without training."""
    trained = read_json(Path(invocation.run_dir) / MANIFEST) or {}
    if "plan" in trained.get("identity", {}):
        _evaluate_run(settings, invocation, trained)
    elif settings.training.warm_start is not None:
        _evaluate_checkpoint(settings, invocation)
    else:
        raise InputError(
            f"there is no run in {invocation.run_dir} whose checkpoint could be scored. Name a run with --run_dir, or any "
            "checkpoint with --gin.WARM_START"
        )


def _evaluate_run(settings: Settings, invocation: Invocation, trained: Mapping[str, Any]) -> None:
    """Scores a run of ours again, under `after` and the further prompts; without --tasks on all tasks of the run."""
    asked = {name: getattr(settings.data, name) for name in trained["data"]}
    asked |= {
        "model": manifest.model_facts(settings.model),
        "warm_start": settings.training.warm_start,
    }
    own = trained["data"] | {name: trained["identity"][name] for name in ("model", "warm_start")}
    differing = [name for name in own if own[name] != json.loads(json.dumps(asked[name]))]
    if differing:
        changes = "\n".join(
            f"    {name}: {own[name]} there, {asked[name]} now" for name in differing
        )
        raise InputError(
            f"{invocation.run_dir} holds a run of other settings:\n{changes}\nGive it its own, --gin_file="
            f"{invocation.run_dir}/config.gin, or score WARM_START in another --run_dir"
        )
    split = settings.data.split()
    names = _tasks(invocation.tasks) or [*split.held_out, *split.train]
    weights = manifest.trained_params_id(
        trained["identity"], int(latest_folder(invocation.run_dir).name)
    )
    work = Work(names, split.train, trained["mixture"]["lengths"], weights, trained)
    _score(settings, invocation, work, invocation.run_dir)


def _evaluate_checkpoint(settings: Settings, invocation: Invocation) -> None:
    """Scores any checkpoint in a run directory of its own; without --tasks on what is held out, else on the mixture."""
    source, model = settings.training.warm_start or "", settings.model
    lengths = fixed_lengths(
        settings.data.lengths,
        "LENGTHS gives targets 'fit', for which there must be a mixture to train on; write a number",
    )
    names = _tasks(invocation.tasks) or (
        [*settings.data.split().held_out] if settings.data.held_out else None
    )
    names = names or [task.name for task in mixture_or_task(settings.data.mixture)]
    weights = {"model": manifest.model_facts(model), "source": source_facts(source)}
    clusters = list(dict.fromkeys(get_task(name).cluster for name in names))
    shown = dataclasses.replace(settings.data, held_out=clusters)
    facts = {"identity": weights} | manifest.run_metadata(
        model, shown, make_mesh(settings.training.mesh)
    )
    # Where the checkpoint is a run of ours, its manifest says what it was trained on.
    mixture = (read_json(Path(source).expanduser() / MANIFEST) or {}).get("mixture", {})
    trained_on = [task["task"] for task in mixture.get("tasks", ())]
    _score(settings, invocation, Work(names, trained_on, lengths, weights, facts), source)


class Work(NamedTuple):
    """Tasks to score and those of them that were trained on, how long their prompts may be, and what the parameters are."""

    tasks: Sequence[str]
    trained_on: Sequence[str]
    lengths: Mapping[str, int]
    weights: Mapping[str, Any]
    manifest: Mapping[str, Any]


def _score(settings: Settings, invocation: Invocation, work: Work, source: str) -> None:
    tokenizer = load_tokenizer(settings.data.tokenizer)
    check_vocabulary(settings.model, tokenizer.path, tokenizer.vocab_size)
    all_prompts = {"after": settings.data.eval_prompts}
    all_prompts |= {f"after-{name}": prompts for name, prompts in settings.evaluation.more.items()}
    with multihost.process_zero_first():
        evaluations = [
            evaluation.of_tasks(
                when, settings.data, work.tasks, work.trained_on, prompts, tokenizer
            )
            for when, prompts in all_prompts.items()
        ]
    if invocation.dry_run:
        for each in evaluations:
            for (task, split), limit in each.limits.items():
                print(f"{each.when} {task} {split}: {limit} prompts")
        return
    mesh = make_mesh(settings.training.mesh)
    print(check_attention(settings.model, work.lengths, mesh))
    same = {
        "weights": work.weights,
        "tasks": work.tasks,
        "trained on": work.trained_on,
        "lengths": work.lengths,
    }
    multihost.assert_equal_everywhere(manifest.process_fingerprint(same, invocation.config_text))
    params = load_params(source, settings.model, abstract_params_on(settings.model, mesh))
    with multihost.process_zero_first():
        run = Run(invocation.run_dir, is_writer=multihost.is_process_zero())
    facts = {name: value for name, value in work.manifest.items() if name != "identity"}
    gaps = not_evaluated(work.tasks, settings.data.eval_prompts)
    run.write_manifest(
        work.manifest["identity"], facts | {"not_evaluated": facts.get("not_evaluated", {}) | gaps}
    )
    evaluating = EvalContext(
        run, settings.model, tokenizer, work.lengths, mesh, settings.evaluation
    )
    for each in evaluations:
        evaluation.score(evaluating, each, work.weights, params)
    if training.write_report(run):
        print(run_report.terminal_summary(run.path))


def _tasks(names: Sequence[str] | None) -> list[str]:
    """The tasks that mixtures and tasks name. InputError with the nearest names for one that nobody registered."""
    return list(dict.fromkeys(task.name for name in names or () for task in mixture_or_task(name)))


def mixture(settings: Settings, invocation: Invocation) -> None:
    """Explain a mixture: rows, rates, shares, epochs, lengths and truncation of each task."""
    plan, explained = _explained(settings)
    console = table_console()
    if invocation.other is None:
        console.print(mixture_table(explained))
    else:
        console.print(difference_table(explained, _explained(invocation.other)[1]))
    console.print(_batch_text(plan, explained), highlight=False, soft_wrap=True)
    if invocation.picture is not None:
        draw_mixture(explained, invocation.picture)
        console.print(f"drawn to {invocation.picture}", highlight=False, soft_wrap=True)


def leakage(settings: Settings, invocation: Invocation) -> None:
    """Audit a mixture, or the run in --run_dir, which keeps the findings: do its training rows leak into the held-out tasks?"""
    if invocation.run_dir:
        _check_audited(settings, invocation.run_dir)
    found = audit_mixture(settings.data)
    if invocation.run_dir:
        write_json(Path(invocation.run_dir) / LEAKAGE, found.kept())
    console = table_console()
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        title="What training shares with the held-out tasks",
        title_justify="left",
    )
    for name in ("held out", "trained on", "origin"):
        table.add_column(name)
    table.add_column("near-duplicates", justify="right")
    table.add_column("of")
    for f in found.findings:
        table.add_row(f.held_out, f.trained, f.origin, f"{f.duplicates:,}", f"{f.examples:,}")
    console.print(table)
    for name, others in found.labels.items():
        console.print(
            f"the options of {name} are also those of {', '.join(others)}",
            highlight=False,
            soft_wrap=True,
        )
    for f in found.findings[:3]:
        if f.pair is not None:
            console.print(
                f"\n{f.held_out}, held out: {f.pair[0]}\n{f.trained}, trained on: {f.pair[1]}",
                markup=False,
            )
    refuse_leaks(found.leaks(settings.data.max_leakage or 0.0))
    console.print("no leak")


def _check_audited(settings: Settings, run_dir: str) -> None:
    """Raises InputError unless the settings are those of the run in a directory, as far as the audit depends on them."""
    own = (read_json(Path(run_dir) / MANIFEST) or {}).get("data")
    if own is None:
        raise InputError(
            f"{run_dir} holds no run whose audit could be kept there; give the --run_dir of a training run"
        )
    asked = json.loads(json.dumps({name: getattr(settings.data, name) for name in own}))
    if differing := [
        f"{name} is {own[name]} there, {asked[name]} now"
        for name in own
        if own[name] != asked[name]
    ]:
        raise InputError(
            f"{run_dir} holds a run of other data: {'; '.join(differing)}. Give --run_dir alone to audit that run"
        )


def preflight(settings: Settings, invocation: Invocation) -> None:
    """Say whether a run fits a TPU slice, or the devices here, how long it takes and what it costs. Nothing is run."""
    runs, plan = invocation.runs, invocation.plan
    if runs is not None and (runs < 1 or plan is not None):
        wrong = (
            "the gin files are those of a sweep, whose runs are counted"
            if plan
            else "a sweep has at least one"
        )
        raise InputError(f"--runs={runs}, but {wrong}; leave it out")
    sweep = runs
    if plan is not None:
        every = [*plan.runs, *([plan.base] if plan.base else [])]
        sweep = report.Sweep(len(every), sum(run.flops for run in every))
    for line in report.report_lines(settings, invocation.topology, invocation.search, sweep):
        print(line, flush=True)


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
        check_vocabulary(model, tokenizer, load_tokenizer(tokenizer).vocab_size)
    mesh = make_mesh({"fsdp": -1})
    params = load_params(source, model, abstract_params_on(model, mesh))
    save_params(target, to, model, params, dtype=dtype, original=original, tokenizer=tokenizer)
    print(f"{count_params(model):,} parameters are in {target}")


def show_plan(settings: Settings) -> None:
    """Prints what a run would do: the mixture, the packing, the model's size and its work a step."""
    inputs = prepare_run(settings, make_mesh(settings.training.mesh))
    plan, summary = inputs.plan, inputs.summary
    console = table_console()
    console.print(mixture_table(summary))
    flops = settings.model.train_flops(plan.batch_size, plan.lengths)
    steps = summary["steps"]
    for line in (
        _batch_text(plan, summary),
        (
            f"{count_params(settings.model):,} parameters; {flops / 1e9:,.1f} GFLOP a step, "
            f"{flops * steps / 1e15:,.3f} PFLOP in {steps:,} steps"
        ),
        f"mesh: {dict(inputs.mesh.shape)}",
        inputs.attention,
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _explained(settings: Settings) -> tuple[MixturePlan, dict[str, Any]]:
    check_leakage(settings.data)
    data = prepare_mixture(settings.data)
    plan = data.plan(settings.model.architecture)
    return plan, summarize_mixture(data, plan, settings.training.steps)


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
        box=rich.box.SIMPLE_HEAD,
        title=f"Mixture, {explained['steps']:,} steps",
        title_justify="left",
    )
    table.add_column("task")
    table.add_column("cluster")
    for name in (
        "rows",
        "filtered",
        "rate",
        "share",
        "epochs",
        "inputs",
        "p95",
        "targets",
        "p95",
        "cut in",
        "cut out",
    ):
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
            *(
                f"{task[name]:.0f}"
                for name in ("mean_inputs", "p95_inputs", "mean_targets", "p95_targets")
            ),
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
        shown = [
            f"{share:.2%}" if name in side else "-"
            for share, side in zip(shares, sides, strict=True)
        ]
        table.add_row(name, *shown, f"{100 * (shares[1] - shares[0]):+.2f}", *epochs)
    return table
