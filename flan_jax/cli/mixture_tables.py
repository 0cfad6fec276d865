"""Mixtures as tables on the terminal: for launch/mixture.py and for --dry_run."""

import rich.box
import rich.table

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.leakage import check_leakage
from flan_jax.data.mixture_data import MixtureData, prepare_mixture
from flan_jax.data.mixture_summary import example_row, summarize_mixture
from flan_jax.errors import plural
from flan_jax.evaluation.power import ScoredTask, power_text, scored_tasks
from flan_jax.models.params import count_params
from flan_jax.parallel.mesh import make_mesh
from flan_jax.progress import table_console
from flan_jax.reports.mixture import epochs_text
from flan_jax.run_records import MixtureSummary
from flan_jax.training.flops import step_flops
from flan_jax.training.settings import Settings
from flan_jax.training.setup import prepare_run


def print_plan(settings: Settings) -> None:
    """Prints what a run would do: mixture, packing, model size and FLOPs.

    Args:
      settings: the run's settings. Their data is prepared if it is not on disk yet.
    """
    inputs = prepare_run(settings, make_mesh(settings.training.mesh))
    plan = inputs.plan
    summary = inputs.summary

    parameters = count_params(settings.model)
    flops_per_step = step_flops(
        settings.model, plan.batch_size, plan.lengths, settings.training.trainable
    )
    steps = summary.steps
    model_line = (
        f"{parameters:,} parameters; {flops_per_step / 1e9:,.1f} GFLOP a step, "
        f"{flops_per_step * steps / 1e15:,.3f} PFLOP in {plural(steps, 'step')}"
    )
    mesh_line = f"mesh: {dict(inputs.mesh.shape)}"
    console = table_console()
    console.print(mixture_table(summary))
    for line in (
        batch_text(plan, summary),
        row_text(settings, inputs.data, plan),
        model_line,
        mesh_line,
        inputs.attention,
        *power_lines(settings, inputs.data),
    ):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def power_lines(settings: Settings, data: MixtureData) -> list[str]:
    """Returns which difference to the untuned model each held-out cluster can show.

    Args:
      settings: the run's settings.
      data: its prepared data.
    """
    examples = {}
    for name in data.split.held_out:
        store = data.evaluation.get((name, "test"))
        examples[name] = 0 if store is None else store.meta["examples"]
    by_cluster: dict[str, list[ScoredTask]] = {}
    scored = scored_tasks(settings.data.eval_prompts, examples)
    cluster_of = settings.data.cluster_of_each(list(scored))
    for name, task in scored.items():
        by_cluster.setdefault(cluster_of[name], []).append(task)
    return [
        f"what {cluster} can show, beside the untuned model, four times of five: "
        + power_text(tasks, comparisons=len(by_cluster))
        for cluster, tasks in by_cluster.items()
    ]


def plan_and_summary(
    settings: Settings,
) -> tuple[MixtureData, MixturePlan, MixtureSummary]:
    """Prepares a mixture, plans its batches and summarizes both."""
    check_leakage(settings.data)
    data = prepare_mixture(settings.data, settings.row_tokenizer())
    plan = data.plan(settings.model.architecture)
    return data, plan, summarize_mixture(data, plan, settings.training.steps)


def row_text(settings: Settings, data: MixtureData, plan: MixturePlan) -> str:
    """Returns the row format, why it is this one, and an example.

    Args:
      settings: the run's settings.
      data: its prepared data.
      plan: its batch plan.

    Returns:
      The lines, separated by newlines.
    """
    setting, reason = settings.row_format()
    name = setting if isinstance(setting, str) else "@RowFormat()"
    return f"row format: {name} ({reason})\na row: {example_row(data, plan)}"


def batch_text(plan: MixturePlan, summary: MixtureSummary) -> str:
    """Returns the held-out clusters, the content of a batch, and how full its rows are.

    Args:
      plan: the batch plan.
      summary: the summary of the same mixture.

    Returns:
      The lines, separated by newlines.
    """
    held_out = ", ".join(summary.held_out) or "nothing"
    filled = ", ".join(
        f"{side} {share:.1%}" for side, share in summary.rows_filled.items()
    )
    examples = summary.examples_per_batch
    supervised = summary.supervised_tokens_per_batch
    return (
        f"held out: {held_out}\n"
        f"{examples:.1f} examples and {supervised:,.0f} supervised tokens in a batch of "
        f"{plural(plan.batch_size, 'row')} of {plan.lengths['inputs']} input and "
        f"{plan.lengths['targets']} target tokens\n"
        f"filled with real tokens: {filled}"
    )


def mixture_table(summary: MixtureSummary) -> rich.table.Table:
    """Returns a table of a mixture's tasks, one a row.

    Lengths are numbers of tokens: the mean and the 95th percentile. The last two columns are the
    shares of examples with a truncated input and with a truncated target.

    Args:
      summary: the mixture's summary.

    Returns:
      The table, to be printed by rich.
    """
    table = _table(f"Mixture, {plural(summary.steps, 'step')}")
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
    for task in summary.tasks:
        table.add_row(
            task.task,
            task.cluster,
            f"{task.examples:,}",
            f"{task.filtered:,}",
            f"{task.rate:,}",
            f"{task.share:.1%}",
            epochs_text(task.epochs),
            f"{task.mean_inputs:.0f}",
            f"{task.p95_inputs:.0f}",
            f"{task.mean_targets:.0f}",
            f"{task.p95_targets:.0f}",
            f"{task.truncated_inputs:.1%}",
            f"{task.truncated_targets:.1%}",
        )
    return table


def difference_table(first: MixtureSummary, second: MixtureSummary) -> rich.table.Table:
    """Returns each task's share and epochs in two mixtures, and how the share changes.

    Args:
      first: the summary of the first mixture.
      second: the summary of the second mixture.

    Returns:
      A table of the tasks of both; "-" where a mixture does not have the task. Shares are in
      percent.
    """
    table = _table("From the first mixture to the second")
    table.add_column("task")
    for name in ("share", "second", "change", "epochs", "second"):
        table.add_column(name, justify="right")

    first_tasks = {task.task: task for task in first.tasks}
    second_tasks = {task.task: task for task in second.tasks}
    for name in dict.fromkeys([*first_tasks, *second_tasks]):
        before = first_tasks.get(name)
        after = second_tasks.get(name)
        share_before = before.share if before else 0.0
        share_after = after.share if after else 0.0
        table.add_row(
            name,
            f"{share_before:.2%}" if before else "-",
            f"{share_after:.2%}" if after else "-",
            f"{100 * (share_after - share_before):+.2f}",
            epochs_text(before.epochs) if before else "-",
            epochs_text(after.epochs) if after else "-",
        )
    return table


def _table(title: str) -> rich.table.Table:
    return rich.table.Table(box=rich.box.SIMPLE_HEAD, title=title, title_justify="left")
