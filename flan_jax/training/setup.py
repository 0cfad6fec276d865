"""Everything between a run's settings and its first step: data, batch plan, checks, identity."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from jax.sharding import Mesh

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.leakage import check_leakage
from flan_jax.data.mixture_data import MixtureData, prepare_mixture
from flan_jax.data.mixture_summary import summarize_mixture
from flan_jax.data.tokenizers import load_tokenizer, tokenizer_file
from flan_jax.errors import InputError
from flan_jax.evaluation.controls import control_jobs
from flan_jax.evaluation.jobs import EvalJob
from flan_jax.json_files import JsonObject
from flan_jax.models.attention_backends import check_attention
from flan_jax.models.params import abstract_params, check_vocabulary
from flan_jax.parallel import multihost
from flan_jax.parallel.mesh import check_batch
from flan_jax.run_records import MixtureSummary
from flan_jax.training import manifest
from flan_jax.training.optimizers import HIGH_RATE, tuning_rate
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.training.state import split_trainable
from flan_jax.training.step import check_options
from flan_jax.weights import hugging_face
from flan_jax.weights.formats import format_of, source_facts
from flan_jax.weights.model_folder import tokenizer_of, unexpected_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunInputs:
    """The prepared and checked inputs of a run.

    Attributes:
      mesh: the device mesh.
      data: the token stores of the mixture.
      plan: which examples lie in which batch.
      attention: a line for the log: which attention backend runs.
      summary: the mixture in numbers, see `summarize_mixture`.
      controls: the controls of the held-out tasks, see `control_jobs`.
      identity: what must stay the same while the run goes on, see `manifest.identity`.
    """

    mesh: Mesh
    data: MixtureData
    plan: MixturePlan
    attention: str
    summary: MixtureSummary
    controls: Sequence[EvalJob]
    identity: JsonObject


def prepare_run(settings: Settings, mesh: Mesh) -> RunInputs:
    """Prepares the data of a run and checks that the run can be done on a mesh.

    Training and `--dry_run` both begin with it, so that a dry run refuses what training would.

    Args:
      settings: the run's settings.
      mesh: the devices to train on.

    Raises:
      InputError: the optimizer's settings, the compiler options, the batch size, the mixture, the
        vocabulary, the attention backend or the regex of the trained parameters do not fit the
        model or the mesh, or training rows leak into the held-out tasks.
    """
    model, training = settings.model, settings.training
    settings.optimizer.build(training.steps)
    check_devices(training, settings.data.batch_size, mesh)
    split_trainable(abstract_params(model), training.trainable)

    with multihost.process_zero_first():
        check_leakage(settings.data)
        data = prepare_mixture(
            settings.data, settings.row_tokenizer(), settings.evaluation.more
        )
        controls = control_jobs(data, settings.evaluation)
    plan = data.plan(model.architecture)

    check_vocabulary(model, data.tokenizer.path, data.tokenizer.vocab_size)
    return RunInputs(
        mesh=mesh,
        data=data,
        plan=plan,
        attention=check_attention(model, plan.lengths, mesh),
        summary=summarize_mixture(data, plan, training.steps),
        controls=controls,
        identity=manifest.identity(settings, data, plan),
    )


def check_warm_start(run_dir: str | Path, settings: Settings) -> None:
    """Checks that a new run can start from its warm start, before any data is prepared.

    A run that has checkpoints goes on from them: its warm start may be gone by then.

    Args:
      run_dir: the run's directory, which need not exist.
      settings: the run's settings.

    Raises:
      InputError: there are no parameters, or a Hugging Face folder is of another model than MODEL.
    """
    source = settings.training.warm_start
    checkpoints = Path(run_dir) / "checkpoints"
    if source is None or any(checkpoints.glob("[0-9]*")):
        return
    source_facts(source)
    if format_of(source) == "hugging_face":
        hugging_face.check_config(
            source, settings.model, settings.training.model_changes
        )
    tokenizer = load_tokenizer(settings.data.tokenizer)
    check_vocabulary(settings.model, tokenizer.path, tokenizer.vocab_size)
    say_unexpected_settings(settings)
    _say_high_rate(settings)


def _say_high_rate(settings: Settings) -> None:
    """Prints on stderr if a trained model is to be tuned at a rate for random parameters."""
    optimizer = settings.optimizer
    if optimizer.name != "adafactor" or optimizer.schedule == "rsqrt":
        return
    architecture = settings.model.architecture
    rate = optimizer.learning_rate
    usual = tuning_rate(architecture, settings.training.warm_start)
    if rate > HIGH_RATE * usual:
        kind = architecture.replace("_", "-")
        print(
            f"LEARNING_RATE is {rate:g}, and Adafactor tunes a trained {kind} at about {usual:g}: "
            "at a rate for random parameters it forgets what it has learned. Leave LEARNING_RATE "
            f"out to take {usual:g}",
            file=sys.stderr,
            flush=True,
        )


def say_unexpected_settings(settings: Settings) -> None:
    """Prints on stderr where MODEL is not as the folder of WARM_START says.

    Args:
      settings: the run's settings, with a warm start.
    """
    warm_start = settings.training.warm_start
    assert warm_start is not None
    changes = settings.training.model_changes
    first_token = settings.row_tokenizer().tokens.start
    found = unexpected_settings(warm_start, settings.model, first_token, changes)
    tokenizer = settings.data.tokenizer
    own = tokenizer_of(warm_start)
    if own is not None and not _is_same_file(own, tokenizer):
        found.append(
            f"TOKENIZER is {tokenizer}, and {warm_start} has another: its model learned other ids. "
            "Write TOKENIZER = None to take that one"
        )
    for text in found:
        print(text, file=sys.stderr, flush=True)


def _is_same_file(tokenizer: str, other: str) -> bool:
    """Returns whether two tokenizers are files of one content."""
    if tokenizer == other:
        return True
    try:
        files = tokenizer_file(tokenizer), tokenizer_file(other)
    except InputError:  # what a run names may be gone
        return True
    return files[0].read_bytes() == files[1].read_bytes()


def check_devices(training: TrainConfig, batch_size: int, mesh: Mesh) -> None:
    """Checks what depends on the devices and needs no data.

    Args:
      training: has the compiler options and the number of microbatches.
      batch_size: rows of a batch.
      mesh: the devices to train on.

    Raises:
      InputError: the compiler does not take an option, or the batch does not divide over the mesh.
    """
    check_options(training.compiler_options, mesh.devices.flat[0])
    check_batch(batch_size, training.microbatches, mesh)
