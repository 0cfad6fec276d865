"""The program launch/evaluate.py: scores a checkpoint on any tasks, without training."""

import argparse
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from flan_jax.cli import arguments, gin_settings
from flan_jax.data.config import fixed_lengths
from flan_jax.data.mixture_data import evaluation_gaps
from flan_jax.errors import InputError, plural
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.evaluate import evaluate
from flan_jax.evaluation.jobs import job_for_tasks
from flan_jax.json_files import JsonObject, read_json, without_keys
from flan_jax.models.attention_backends import check_attention
from flan_jax.models.config import EXECUTION_SETTINGS, config_fields
from flan_jax.models.params import abstract_params_on, check_vocabulary
from flan_jax.parallel import multihost
from flan_jax.parallel.mesh import make_mesh
from flan_jax.reports import run_report
from flan_jax.run_dir import MANIFEST, Run
from flan_jax.run_records import AFTER, ParamsId, Phase, phase_name
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.training import manifest
from flan_jax.training.settings import Settings
from flan_jax.training.setup import say_unexpected_settings
from flan_jax.training.train import write_report
from flan_jax.weights.formats import format_of, load_params, source_facts
from flan_jax.weights.orbax import latest_folder


class Scoring(NamedTuple):
    """What is scored.

    Attributes:
      source: the run directory or checkpoint that the parameters are read from.
      params_id: the identity of these parameters.
      tasks: the tasks to score.
      trained_on: the tasks that the parameters were trained on.
      lengths: tokens that the model reads of inputs and targets.
      manifest: the content of the run directory's manifest.json.
    """

    source: str
    params_id: ParamsId
    tasks: Sequence[str]
    trained_on: Sequence[str]
    lengths: Mapping[str, int]
    manifest: JsonObject


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    parser = arguments.settings_parser(
        "evaluate.py",
        "Score the checkpoint WARM_START, or else the latest one of the run, on any tasks, "
        "without training.",
    )
    arguments.add_host_flags(parser)
    parser.add_argument(
        "--tasks",
        help="tasks and mixtures, with commas between (default: the run's, or the held-out)",
    )
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.

    Raises:
      InputError: the flags name neither a trained run nor a checkpoint, or a setting is refused.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    arguments.join_processes(flags)
    settings, config_text = gin_settings.resolve(flags.gin_file, bindings)
    arguments.keep_compiled_programs(settings)

    run_dir = arguments.run_dir_of(flags)
    warm_start = settings.training.warm_start
    if warm_start and not flags.run_dir:
        # The run of the default name is another one: it is trained.
        run_dir += f"_of_{Path(warm_start).name}"
    tasks = _task_names(flags.tasks.split(",") if flags.tasks else [])

    run_manifest = read_json(Path(run_dir) / MANIFEST) or {}
    if "plan" in run_manifest.get("identity", {}):
        settings = settings.with_rows_of(run_manifest["identity"])
        scoring = _of_trained_run(settings, run_dir, run_manifest, tasks)
    elif warm_start is not None:
        scoring = _of_checkpoint(settings, warm_start, tasks)
    else:
        raise InputError(
            f"there is no run in {run_dir} whose checkpoint could be scored. Name a run with "
            "--run_dir, or any checkpoint with --gin.WARM_START"
        )
    _score(settings, config_text, run_dir, scoring, dry_run=flags.dry_run)


def _of_trained_run(
    settings: Settings, run_dir: str, run_manifest: JsonObject, tasks: list[str]
) -> Scoring:
    """Scores a run again, under `after` and the further prompts; by default on all its tasks."""
    _check_same_run(settings, run_dir, run_manifest)
    split = settings.data.split()
    step = int(latest_folder(run_dir).name)
    return Scoring(
        source=run_dir,
        params_id=manifest.trained_params_id(run_manifest["identity"], step),
        tasks=tasks or [*split.held_out, *split.train],
        trained_on=split.train,
        lengths=run_manifest["mixture"]["lengths"],
        manifest=run_manifest,
    )


def _check_same_run(settings: Settings, run_dir: str, run_manifest: JsonObject) -> None:
    """Raises InputError unless the settings are those that the run was trained with."""
    trained = dict(run_manifest["data"])
    asked = {name: getattr(settings.data, name) for name in trained}
    identity = {
        "model": config_fields(settings.model),
        "warm_start": settings.training.warm_start,
        "row_format": dataclasses.asdict(settings.row_tokenizer().format),
    }
    for values, fields in ((trained, run_manifest["identity"]), (asked, identity)):
        complete = manifest.complete_identity(fields, settings.model)
        values["model"] = without_keys(complete["model"], EXECUTION_SETTINGS)
        values["warm_start"] = complete["warm_start"]
        values["row_format"] = complete["row_format"]
    asked = json.loads(json.dumps(asked))  # tuples become lists, as in the manifest
    changes = [
        f"    {name}: {trained[name]} in the run, {asked[name]} now"
        for name in trained
        if trained[name] != asked[name]
    ]
    if changes:
        lines = "\n".join(changes)
        raise InputError(
            f"{run_dir} holds a run of other settings:\n{lines}\nGive it its own, "
            f"--gin_file={run_dir}/config.gin, or score WARM_START in another --run_dir"
        )


def _of_checkpoint(settings: Settings, source: str, tasks: list[str]) -> Scoring:
    """Scores a checkpoint in a run directory of its own.

    Without --tasks these are the held-out tasks, or the mixture where nothing is held out.
    """
    lengths = fixed_lengths(
        settings.data.lengths,
        "LENGTHS gives targets 'fit', for which there must be a mixture to train on; write a "
        "number",
    )
    if not tasks and settings.data.held_out:
        tasks = [*settings.data.split().held_out]
    if not tasks:
        tasks = [task.name for task in mixture_or_task(settings.data.mixture)]

    say_unexpected_settings(settings)
    params_id = {"model": config_fields(settings.model), "source": source_facts(source)}
    cluster_of = settings.data.cluster_of_each(tasks)
    clusters = list(dict.fromkeys(cluster_of.values()))
    data = dataclasses.replace(settings.data, held_out=clusters)
    mesh = make_mesh(settings.training.mesh)
    metadata = manifest.run_metadata(settings.model, data, mesh)
    if format_of(source) == "flan_jax":
        metadata["step"] = int(latest_folder(source).name)
    # If the checkpoint is a run of flan_jax, its manifest says what it was trained on.
    source_manifest = read_json(Path(source).expanduser() / MANIFEST) or {}
    trained_tasks = source_manifest.get("mixture", {}).get("tasks", ())
    return Scoring(
        source=source,
        params_id=params_id,
        tasks=tasks,
        trained_on=[task["task"] for task in trained_tasks],
        lengths=lengths,
        manifest={"identity": params_id} | metadata,
    )


def _score(
    settings: Settings,
    config_text: str,
    run_dir: str,
    scoring: Scoring,
    *,
    dry_run: bool,
) -> None:
    row_tokenizer = settings.row_tokenizer()
    tokenizer = row_tokenizer.tokenizer
    check_vocabulary(settings.model, tokenizer.path, tokenizer.vocab_size)
    prompts_by_phase = {AFTER: settings.data.eval_prompts}
    for name, prompts in settings.evaluation.more.items():
        prompts_by_phase[Phase("after", name)] = prompts
    with multihost.process_zero_first():
        jobs = [
            job_for_tasks(
                phase,
                settings.data,
                prompts,
                row_tokenizer,
                tasks=scoring.tasks,
                trained_on=scoring.trained_on,
            )
            for phase, prompts in prompts_by_phase.items()
        ]
    if dry_run:
        for job in jobs:
            name = phase_name(job.phase, scoring.params_id)
            for (task, split), limit in job.limits.items():
                print(f"{name} {task} {split}: {plural(limit, 'prompt')}")
        return

    mesh = make_mesh(settings.training.mesh)
    print(check_attention(settings.model, scoring.lengths, mesh))
    must_agree = {
        "weights": scoring.params_id,
        "tasks": scoring.tasks,
        "trained on": scoring.trained_on,
        "lengths": scoring.lengths,
    }
    multihost.assert_equal_everywhere(
        manifest.process_fingerprint(must_agree, config_text)
    )
    params = load_params(
        scoring.source,
        settings.model,
        abstract_params_on(settings.model, mesh),
        settings.training.model_changes,
    )

    with multihost.process_zero_first():
        run = Run(run_dir, multihost.is_process_zero())
    _write_manifest(run, settings, scoring)
    context = EvalContext(
        run, settings.model, row_tokenizer, scoring.lengths, mesh, settings.evaluation
    )
    for job in jobs:
        evaluate(context, job, scoring.params_id, params)
    if write_report(run):
        print(run_report.terminal_summary(run.path))


def _write_manifest(run: Run, settings: Settings, scoring: Scoring) -> None:
    metadata = {
        name: value for name, value in scoring.manifest.items() if name != "identity"
    }
    gaps = evaluation_gaps(scoring.tasks, settings.data.eval_prompts)
    metadata["not_evaluated"] = metadata.get("not_evaluated", {}) | gaps
    run.write_manifest(
        scoring.manifest["identity"],
        metadata,
        ignored=EXECUTION_SETTINGS,
        complete=functools.partial(manifest.complete_identity, model=settings.model),
    )


def _task_names(names: Sequence[str]) -> list[str]:
    """Returns the tasks that the names of mixtures and tasks stand for.

    Raises InputError with the nearest name for an unknown one.
    """
    tasks = [task for name in names for task in mixture_or_task(name.strip())]
    return list(dict.fromkeys(task.name for task in tasks))
