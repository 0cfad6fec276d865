"""Controls: scores of held-out tasks that show what the scores before and after training are worth.

A model that follows no instruction may still know the answer. How much it knows shows in its own
wording, a text that the answer completes (Brown et al. 2020), and with exemplars; how much of a
score needs no understanding shows without the premise (Poliak et al. 2018). Chance is in all
scores. The most frequent answer of the training split comes with the exemplars.
"""

import dataclasses
from collections.abc import Sequence

from flan_jax.data.mixture_data import MixtureData, evaluation_gaps, prepare_evaluation
from flan_jax.data.row_format import FLAN, running_text
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.evaluation.config import EvalConfig
from flan_jax.evaluation.jobs import EvalJob
from flan_jax.run_records import CLOZE, FEW_SHOT, HYPOTHESIS_ONLY, Phase
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import get_task

SHOTS = 3
"""Exemplars of the few-shot control."""


def control_jobs(data: MixtureData, config: EvalConfig) -> list[EvalJob]:
    """Prepares the controls of the held-out tasks.

    Test examples are scored, and of the cloze validation examples, too, which decide on the
    scoring. A control is left out for tasks that it does not fit: without
    TemplatedTask.cloze or .premise, or if no exemplar fits beside the query.

    Args:
      data: the prepared data of a run.
      config: says whether there are controls.

    Returns:
      A job for each of CONTROLS that fits any task; none if `config.controls` is False.
    """
    if not config.controls:
        return []
    jobs = []
    for phase, prompts in _control_prompts(data.config.eval_prompts).items():
        tasks = _tasks_with(data.split.held_out, phase)
        gaps = evaluation_gaps(tasks, prompts)
        tasks = [name for name in tasks if name not in gaps]
        if tasks:
            jobs.append(_job(phase, prompts, data, tasks))
    return [job for job in jobs if job.stores]


def _control_prompts(prompts: Prompts) -> dict[Phase, Prompts]:
    """Returns how examples are shown in each control, given how they are shown otherwise."""
    by_phase = {CLOZE: Prompts(instructions="cloze")}
    if not prompts.shots:
        by_phase[FEW_SHOT] = dataclasses.replace(prompts, shots=SHOTS)
    if prompts.instructions == "natural":
        by_phase[HYPOTHESIS_ONLY] = dataclasses.replace(
            prompts, instructions="hypothesis_only"
        )
    return by_phase


def _tasks_with(names: Sequence[str], phase: Phase) -> list[str]:
    """Returns the tasks that have what a control shows."""
    tasks = [get_task(name) for name in names]
    if phase == CLOZE:
        tasks = [task for task in tasks if task.cloze is not None]
    elif phase == HYPOTHESIS_ONLY:
        tasks = [task for task in tasks if task.premise]
    return [task.name for task in tasks]


def _job(
    phase: Phase, prompts: Prompts, data: MixtureData, tasks: Sequence[str]
) -> EvalJob:
    # A control that cannot be prepared, because no exemplar fits, does not stop the run.
    config = dataclasses.replace(data.config, skip_broken=True)
    row_tokenizer = data.row_tokenizer
    test_only = tasks
    if phase == CLOZE:
        row_tokenizer = _cloze_tokenizer(row_tokenizer)
        test_only = ()
    stores = prepare_evaluation(
        config, tasks, prompts, row_tokenizer, test_only=test_only
    )
    return EvalJob(
        phase=phase,
        prompts=prompts,
        stores=stores,
        limits={key: len(store) for key, store in stores.items()},
        held_out=data.split.held_out,
        cluster_of=data.config.cluster_of_each(tasks),
        every_scoring=phase == CLOZE,
        row_tokenizer=row_tokenizer,
    )


def _cloze_tokenizer(row_tokenizer: RowTokenizer) -> RowTokenizer:
    """Returns what makes the tokens of clozes.

    A public decoder has read running text, without the newline or the turns that its row format
    puts between prompt and answer. A model of FLAN's rows, and the decoder of an encoder-decoder,
    begin an answer as they always do.
    """
    row_format = row_tokenizer.format
    if row_tokenizer.architecture != "decoder" or row_format == FLAN:
        return row_tokenizer
    return dataclasses.replace(row_tokenizer, format=running_text(row_format))
