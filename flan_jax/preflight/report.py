"""The report of preflight: memory, FLOPs, collectives, seconds and dollars as lines of text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from flan_jax.errors import plural
from flan_jax.hardware import CHIPS, GIB, MIB, Number
from flan_jax.models.params import count_params
from flan_jax.preflight.compile import (
    Compiled,
    DoesNotFit,
    Job,
    compile_for,
    compile_generation,
    compile_option_scoring,
    job_from_settings,
)
from flan_jax.preflight.roofline import PRICES, Price, Roofline, estimate, read_prices
from flan_jax.preflight.search import meshes, ranked, search, what_would_fit
from flan_jax.preflight.target import Target, devices_here, tpu_slice
from flan_jax.training.settings import Settings

ASSUMPTIONS = """\
Assumed: hardware runs at its peaks, so real steps are slower (published training runs reach 0.4 to
0.7 of the peak FLOP/s). FLOPs are those of the model's matrix products, padding
included{recomputation}. Memory traffic is a lower bound: the state is read and written once,
temporaries are written and read once, and the weights are read {weight_reads} times per microbatch.
Collectives run one after the other in a ring, over {links} of a chip{network}. Only training steps
are counted: no evaluation, checkpoints, compilation or waiting for the slice."""


class Sweep(NamedTuple):
    """The runs of a sweep.

    Attributes:
      runs: their number, the base model's run included.
      flops: of all their steps together.
    """

    runs: int
    flops: Number


def report_lines(
    settings: Settings,
    topology: str | None,
    searching: bool,
    sweep: Sweep | int | None = None,
) -> Iterator[str]:
    """Yields the report, line by line as it is known.

    Args:
      settings: the run.
      topology: a TPU slice; None for the devices here.
      searching: whether to search meshes and remat policies.
      sweep: the sweep that the run is one of, or the number of runs like this one.

    Raises:
      InputError: the run cannot be done as it is written.
      DoesNotFit: it needs more memory than there is; raised at the end of the report.
    """
    prices = read_prices()
    job = job_from_settings(settings)
    if isinstance(sweep, int):
        sweep = Sweep(sweep, sweep * job.step_flops * job.training.steps)
    target = tpu_slice(topology) if topology else devices_here()

    yield format_target(target)
    yield format_job(job)
    if searching:
        yield from format_search(job, target, prices)
        return

    compiled = compile_for(job, target)
    seconds = compiled.compile_seconds
    yield f"training step on mesh {compiled.mesh}, compiled in {seconds:.0f} s"
    yield format_memory(compiled, target)
    if not compiled.fits(target):
        yield from format_memory_reductions(job, target)
        raise does_not_fit(compiled, target)
    yield from format_collectives(compiled, target)
    yield from format_time(compiled, target, prices, sweep)
    yield from format_evaluation(job, target)


def format_target(target: Target) -> str:
    """Returns the lines on the devices: their number, memory and peaks.

    Args:
      target: the devices that are compiled for.

    Returns:
      Two lines: the devices, and their peak rates.
    """
    peaks = "peak rates of these devices are not known: no time is estimated"
    if target.chip is not None:
        chip = CHIPS[target.chip]
        peaks = (
            f"per chip: {chip.flops / 1e12:,.0f} TFLOP/s in bf16, {chip.hbm / 1e9:,.0f} GB/s of "
            f"memory bandwidth, {chip.link / 1e9:,.0f} GB/s out of a link (sources: "
            "flan_jax/hardware.py)"
        )
    devices = target.devices
    hosts = len({device.process_index for device in devices})
    return (
        f"{target.name}: chips {target.chips}, devices {len(devices)} ({devices[0].device_kind}), "
        f"hosts {hosts}; {format_bytes(target.memory)} per device for programs\n{peaks}"
    )


def format_job(job: Job) -> str:
    """Returns the lines on the model, the batch and the FLOPs.

    Args:
      job: the job that is compiled.

    Returns:
      Two lines, and a third one if the model computes in float32.
    """
    model = job.model
    training = job.training
    step_teraflops = job.step_flops / 1e12
    run_petaflops = job.step_flops * training.steps / 1e15
    text = (
        f"{count_params(model):,} parameters, computed in {model.dtype}, remat '{model.remat}'; a "
        f"batch of {plural(job.batch_rows, 'row')} of {job.lengths['inputs']} input and "
        f"{job.lengths['targets']} target tokens, microbatches {training.microbatches}\n"
        f"{step_teraflops:,.3f} TFLOP per step, {run_petaflops:,.3f} PFLOP in "
        f"{plural(training.steps, 'step')} (counted from the model)"
    )
    if model.dtype != "bfloat16":
        name = type(model).__name__
        text += (
            f"\n{name}.dtype is 'float32': 'bfloat16' halves the bytes of activations and "
            "collectives"
        )
    return text


def format_memory(compiled: Compiled, target: Target) -> str:
    """Returns the lines on the memory of a device, and whether the program fits.

    Args:
      compiled: the compiled program.
      target: the devices that it was compiled for.

    Returns:
      Two lines: the bytes by kind, and the verdict with the headroom or the excess.
    """
    available = format_bytes(target.memory)
    text = (
        f"per device: state {format_bytes(compiled.state_bytes)}, batch "
        f"{format_bytes(compiled.batch_bytes)}"
    )
    if compiled.state_bytes + compiled.batch_bytes > target.memory:
        return (
            f"{text}\nDOES NOT FIT: the state alone needs more than the {available} of memory (not "
            "compiled)"
        )
    if compiled.temporary_bytes is None:
        return (
            f"{text}\nDOES NOT FIT: the compiler ran out of the {available} of memory"
        )

    text += (
        f", temporaries {format_bytes(compiled.temporary_bytes)}: "
        f"{format_bytes(compiled.needed_bytes)} of {available}"
    )
    headroom = target.memory - compiled.needed_bytes
    if compiled.fits(target):
        return f"{text}\nFITS: headroom {format_bytes(headroom)} per device"
    return f"{text}\nDOES NOT FIT: {format_bytes(-headroom)} too much"


def format_collectives(compiled: Compiled, target: Target) -> Iterator[str]:
    """Yields the lines on the collectives of a program that fits.

    Args:
      compiled: a compiled program that fits.
      target: the devices that it was compiled for.

    Yields:
      A heading, a line for each kind and group size of collectives, and what is not counted.
    """
    collectives = compiled.collectives
    assert collectives is not None
    heading = "collectives per step and device (in loops, every round is counted):"
    if not collectives.entries:
        heading += " none"
    yield heading

    for entry in collectives.entries:
        yield (
            f"  {entry.kind:<20} among {entry.group_size:>4}: {entry.count:>6,}, payload "
            f"{format_bytes(entry.payload_bytes)} in total, {format_bytes(entry.sent_bytes)} sent"
        )
    has_network = target.chip is None or CHIPS[target.chip].network is not None
    if collectives.dcn_bytes and not has_network:
        yield (
            f"  between slices: the rate of the network of {target.chip} is not known, so the "
            "estimate does not count it"
        )
    if collectives.unknown_loops:
        yield (
            "  loops with collectives that do not say how often they run and are counted once: "
            f"{collectives.unknown_loops}; more bytes are sent than this, and the step takes longer"
        )


def format_time(
    compiled: Compiled,
    target: Target,
    prices: Mapping[str, Price],
    sweep: Sweep | None = None,
) -> Iterator[str]:
    """Yields the lines on time and cost, with what they assume; none for an unknown chip.

    Args:
      compiled: a training step that fits.
      target: the devices that it was compiled for.
      prices: prices by chip.
      sweep: the sweep that the run is one of.
    """
    seconds = estimate(compiled, target)
    if seconds is None or target.chip is None:
        return
    between_slices = (
        f", {format_seconds(seconds.dcn)} between slices" if seconds.dcn else ""
    )
    yield (
        f"lower bounds per step: {format_seconds(seconds.compute)} of compute, "
        f"{format_seconds(seconds.memory)} of memory traffic, {format_seconds(seconds.ici)} of "
        f"collectives{between_slices}"
    )

    job = compiled.job
    steps = job.training.steps
    yield f"estimate: {format_cost(seconds, steps, target, prices)}"
    if sweep is not None:
        ratio = sweep.flops / (job.step_flops * steps)
        yield (
            f"the sweep of {plural(sweep.runs, 'run')}, {ratio:,.1f} times this run's FLOPs: "
            f"{format_hours(seconds, ratio * steps, target, prices)}"
        )

    price = prices.get(target.chip)
    if price is not None:
        yield (
            f"  at ${price.usd:.2f} per chip and hour, list price of {price.date}, {price.region}: "
            f"edit {PRICES}"
        )
    else:
        yield f"  no price of {target.chip} in {PRICES}: add a row"

    recomputes = job.model.remat == "full"
    yield ASSUMPTIONS.format(
        recomputation=", a third more for remat 'full'" if recomputes else "",
        weight_reads=3 if recomputes else 2,
        links="both links (the slice is a torus)" if target.is_torus else "one link",
        network=", and between slices at the network's full rate"
        if seconds.dcn
        else "",
    )


def format_evaluation(job: Job, target: Target) -> Iterator[str]:
    """Yields the lines on the memory of an evaluation during training.

    Args:
      job: the run.
      target: the devices.

    Raises:
      DoesNotFit: a program of the evaluation needs more memory than there is.
    """
    programs: dict[str, Callable[[Job, Target], Compiled]] = {
        "rank classification": compile_option_scoring
    }
    if job.generates:
        programs[_generation_name(job)] = compile_generation

    for name, compile_program in programs.items():
        compiled = compile_program(job, target)
        shards = compiled.mesh["data"] * compiled.mesh["fsdp"]
        rows = -(-job.eval_rows // shards) * shards  # as many as Scorer takes
        yield (
            f"evaluation step, {name} for {plural(rows, 'prompt')}, compiled in "
            f"{compiled.compile_seconds:.0f} s"
        )
        yield format_memory(compiled, target)
        if not compiled.fits(target):
            fewer = (
                f"fewer prompts (--gin.EvalConfig.rows={shards}), "
                if rows > shards
                else ""
            )
            if compile_program is compile_generation and job.generation.num_beams > 1:
                fewer += "fewer beams (GenerationConfig.num_beams), "
            yield (
                f"Write {fewer}shorter LENGTHS, or a MESH with a higher tensor-parallel degree or "
                "more fsdp"
            )
            raise does_not_fit(compiled, target)


def _generation_name(job: Job) -> str:
    """Returns "generation of up to 48 tokens", and how it is done where that is not greedily."""
    config = job.answers
    name = f"generation of up to {plural(config.new_tokens, 'token')}"
    if config.num_beams > 1:
        return f"{name} with {config.num_beams} beams"
    return f"{name} by sampling" if config.temperature > 0 else name


def format_memory_reductions(job: Job, target: Target) -> Iterator[str]:
    """Yields the lines on settings that would make a run fit. Each is compiled.

    Args:
      job: the job that does not fit.
      target: the devices.

    Yields:
      A heading, a line for each attempt, and advice if none of them fits.
    """
    yield "What would make it fit (each compiled):"
    enough = False
    for settings, compiled in what_would_fit(job, target):
        enough = enough or compiled.fits(target)
        flags = " ".join(f'--gin."{setting}"' for setting in settings)
        yield f"  {format_verdict(compiled, target)}  {flags}"
    if not enough:
        yield (
            "  none of these is enough. Take a larger slice, a smaller BATCH_SIZE or LENGTHS, or a "
            "higher tensor-parallel degree in MESH (--search)"
        )


def format_search(
    job: Job, target: Target, prices: Mapping[str, Price]
) -> Iterator[str]:
    """Yields the lines of a search, and its results ranked.

    Args:
      job: the run.
      target: the devices.
      prices: prices by chip.

    Raises:
      DoesNotFit: no mesh fits.
    """
    mesh_count = len(list(meshes(len(target.devices) // target.slices)))
    yield f"meshes to search: {mesh_count}, each under remat policies until one fits"
    results: list[Compiled] = []
    for compiled in search(job, target):
        results.append(compiled)
        yield (
            f"  {format_verdict(compiled, target)}  {_format_point(compiled)}  "
            f"({compiled.compile_seconds:.0f} s)"
        )

    best = ranked(results, target)
    if not best:
        raise DoesNotFit(f"DOES NOT FIT {target.name}: no mesh under any remat policy")
    yield "ranked by the time of a step in which nothing overlaps:"
    yield from _format_ranking(best, target, prices)


def format_cost(
    seconds: Roofline, steps: int, target: Target, prices: Mapping[str, Price]
) -> str:
    """Returns the time of a step, and hours and dollars of a run, as ranges.

    Args:
      seconds: the time of a step.
      steps: the steps of the run.
      target: the devices.
      prices: prices by chip.
    """
    overlapped = format_seconds(seconds.overlapped_seconds)
    serial = format_seconds(seconds.serial_seconds)
    hours = format_hours(seconds, steps, target, prices)
    return (
        f"{overlapped} per step if everything overlaps, {serial} if nothing does; "
        f"{plural(steps, 'step')}: {hours}"
    )


def format_hours(
    seconds: Roofline, steps: Number, target: Target, prices: Mapping[str, Price]
) -> str:
    """Returns hours and dollars of a number of steps, as ranges.

    Args:
      seconds: the time of a step.
      steps: the number of steps.
      target: the devices.
      prices: prices by chip; without one there are no dollars.
    """
    least = seconds.overlapped_seconds * steps
    most = seconds.serial_seconds * steps
    text = f"{format_seconds(least)} to {format_seconds(most)}"
    price = prices.get(target.chip or "")
    if price is None:
        return text
    least_usd = least / 3600 * target.chips * price.usd
    most_usd = most / 3600 * target.chips * price.usd
    return f"{text}, ${least_usd:,.2f} to ${most_usd:,.2f}"


def format_verdict(compiled: Compiled, target: Target) -> str:
    """Returns whether a program fits and what it needs, in columns."""
    verdict = "fits" if compiled.fits(target) else "no"
    return f"{verdict:<4}  {format_needed(compiled):>11}"


def format_needed(compiled: Compiled) -> str:
    """Returns the memory that a device needs, or a lower bound of it."""
    if compiled.temporary_bytes is None:
        return f"> {format_bytes(compiled.state_bytes)}"
    return format_bytes(compiled.needed_bytes)


def does_not_fit(compiled: Compiled, target: Target) -> DoesNotFit:
    """Returns the error that is the last line of a report.

    Args:
      compiled: the compiled program that does not fit.
      target: the devices that it was compiled for.

    Returns:
      The error, to be raised by the caller.
    """
    return DoesNotFit(
        f"DOES NOT FIT {target.name}: a device needs {format_needed(compiled)} of "
        f"{format_bytes(target.memory)}"
    )


def format_bytes(count: Number) -> str:
    """Returns a number of bytes as "2.67 GiB" or "13.40 MiB"."""
    if count >= GIB:
        return f"{count / GIB:,.2f} GiB"
    return f"{count / MIB:,.2f} MiB"


def format_seconds(seconds: Number) -> str:
    """Returns seconds as "1.5 h", "1.23 s" or "0.450 ms"."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    if seconds >= 0.1:
        return f"{seconds:,.2f} s"
    return f"{1e3 * seconds:,.3f} ms"


def _format_ranking(
    best: Sequence[Compiled], target: Target, prices: Mapping[str, Price]
) -> Iterator[str]:
    for rank, compiled in enumerate(best, start=1):
        seconds = estimate(compiled, target)
        if seconds is None:
            text = f"{format_bytes(compiled.needed_bytes)} needed"
        else:
            text = format_cost(seconds, compiled.job.training.steps, target, prices)
        yield f"  {rank:>2}. {_format_point(compiled)}: {text}"


def _format_point(compiled: Compiled) -> str:
    return f"MESH={compiled.job.training.mesh} remat={compiled.job.model.remat}"
