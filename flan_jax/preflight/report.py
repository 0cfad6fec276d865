"""What preflight says: bytes, FLOPs, collectives, seconds and dollars as lines of text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from flan_jax.hardware import CHIPS, GIB, MIB, Number
from flan_jax.models.params import count_params
from flan_jax.preflight import compile
from flan_jax.preflight.compile import Compiled, DoesNotFit, Job, Target
from flan_jax.preflight.roofline import PRICES, Price, Roofline, read_prices
from flan_jax.preflight.search import estimate, meshes, ranked, search, what_would_fit
from flan_jax.training.settings import Settings

ASSUMPTIONS = """Assumed: peaks are reached, so real steps are slower (published training runs reach 0.4 to 0.7 of the FLOP/s). FLOPs are the
model's matrix products, padding included{again}. Memory traffic is a lower bound: the state read and written, temporaries
written and read once, weights read {reads} times a microbatch. Collectives run one by one around a ring, on {links} of a chip{network}.
Only the training step counts: no evaluation, checkpoints, compilation or waiting for the slice."""


class Sweep(NamedTuple):
    """runs: of a sweep, its base model's among them. flops: of all their steps."""

    runs: int
    flops: Number


def report_lines(
    settings: Settings, topology: str | None, searching: bool, sweep: Sweep | int | None = None
) -> Iterator[str]:
    """The report, line by line as it is known. `sweep`: what the run is one of, or how many there are like it.

    Raises InputError for what cannot be done as written, and DoesNotFit at the end.
    """
    prices = read_prices()
    job = compile.job_from_settings(settings)
    if isinstance(sweep, int):
        sweep = Sweep(sweep, sweep * job.flops * job.training.steps)
    target = compile.tpu_slice(topology) if topology else compile.devices_here()
    yield format_target(target)
    yield format_job(job)
    if searching:
        yield from format_search(job, target, prices)
        return
    compiled = compile.compile_for(job, target)
    yield f"the training step on mesh {compiled.mesh}, compiled in {compiled.seconds:.0f} s"
    yield format_memory(compiled, target)
    if not compiled.fits(target):
        yield from format_memory_reductions(job, target)
        raise does_not_fit(compiled, target)
    yield from format_collectives(compiled, target)
    yield from format_time(compiled, target, prices, sweep)
    yield from format_evaluation(job, target)


def format_evaluation(job: Job, target: Target) -> Iterator[str]:
    """Raises DoesNotFit."""
    steps = {"options ranked": compile.compile_ranking}
    if job.writes:
        steps[f"answers of up to {job.lengths['targets']} tokens written"] = (
            compile.compile_generation
        )
    for what, compiling in steps.items():
        compiled = compiling(job, target)
        ways = compiled.mesh["data"] * compiled.mesh["fsdp"]
        rows = -(-job.eval_rows // ways) * ways  # as many as Scorer takes
        yield f"an evaluation's step, {what} for {rows} prompts, compiled in {compiled.seconds:.0f} s"
        yield format_memory(compiled, target)
        if not compiled.fits(target):
            fewer = f"fewer prompts (--gin.EvalConfig.rows={ways}), " if rows > ways else ""
            yield f"Write {fewer}shorter LENGTHS or a MESH with more ways of tensor or fsdp"
            raise does_not_fit(compiled, target)


def does_not_fit(compiled: Compiled, target: Target) -> DoesNotFit:
    """The last line of a report on what does not fit."""
    return DoesNotFit(
        f"DOES NOT FIT {target.name}: a device needs {needed(compiled).strip()} of {size(target.memory)}"
    )


def format_target(target: Target) -> str:
    devices = target.devices
    hosts = len({device.process_index for device in devices})
    peaks = "no peaks are known of it: no time is estimated"
    if target.chip is not None:
        chip = CHIPS[target.chip]
        peaks = (
            f"a chip: {chip.flops / 1e12:,.0f} TFLOP/s in bf16, {chip.hbm / 1e9:,.0f} GB/s to memory, "
            f"{chip.link / 1e9:,.0f} GB/s out of a link (sources: flan_jax/hardware.py)"
        )
    return (
        f"{target.name}: chips {target.chips}, devices {len(devices)} ({devices[0].device_kind}), hosts {hosts}; "
        f"{size(target.memory)} a device for programs\n{peaks}"
    )


def format_job(job: Job) -> str:
    model, training = job.model, job.training
    name = type(model).__name__
    wide = (
        f"\n{name}.dtype is 'float32': 'bfloat16' halves activations and collectives"
        if model.dtype != "bfloat16"
        else ""
    )
    return (
        f"{count_params(model):,} parameters, computed in {model.dtype}, remat '{model.remat}'; a batch of {job.rows} rows of "
        f"{job.lengths['inputs']} input and {job.lengths['targets']} target tokens, microbatches {training.microbatches}\n"
        f"{job.flops / 1e12:,.3f} TFLOP a step, {job.flops * training.steps / 1e15:,.3f} PFLOP in {training.steps:,} steps "
        f"(counted from the model){wide}"
    )


def size(count: Number) -> str:
    """Bytes for people: 2.67 GiB, 13.4 MiB."""
    return f"{count / GIB:,.2f} GiB" if count >= GIB else f"{count / MIB:,.2f} MiB"


def span(seconds: Number) -> str:
    """Seconds for people: 1.23 s, 0.45 ms; hours from one on."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds:,.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:,.3f} ms"


def format_memory(compiled: Compiled, target: Target) -> str:
    parts = f"state {size(compiled.state)}, batch {size(compiled.batch)}"
    if compiled.state + compiled.batch > target.memory:
        return f"a device: {parts}\nDOES NOT FIT: the state alone is more than the {size(target.memory)} there are (not compiled)"
    if compiled.temporaries is None:
        return f"a device: {parts}\nDOES NOT FIT: the compiler runs out of the {size(target.memory)} there are"
    parts += f", temporaries {size(compiled.temporaries)}: {size(compiled.needed)} of {size(target.memory)}"
    left = target.memory - compiled.needed
    if compiled.fits(target):
        return f"a device: {parts}\nFITS: headroom {size(left)} a device"
    return f"a device: {parts}\nDOES NOT FIT: {size(-left)} too much"


def format_collectives(compiled: Compiled, target: Target) -> Iterator[str]:
    found = compiled.found
    assert found is not None
    yield "collectives a step and device (loops counted with their rounds):" + (
        "" if found.found else " none"
    )
    for each in found.found:
        yield f"  {each.kind:<20} among {each.group:>4}: {each.count:>6,} of {size(each.payload)} in all, {size(each.sent)} sent"
    if found.between and target.chip is not None and CHIPS[target.chip].network is None:
        yield f"  between slices: how fast a {target.chip}'s network is, is not known here: the estimate does not count it"
    if found.unknown_loops:
        yield f"  {found.unknown_loops} loops with collectives do not say how often they run, and are counted once: more is sent than this, and takes longer"


def format_time(
    compiled: Compiled, target: Target, prices: Mapping[str, Price], sweep: Sweep | None = None
) -> Iterator[str]:
    seconds = estimate(compiled, target)
    if seconds is None or target.chip is None:
        return
    between = f", {span(seconds.network)} between slices" if seconds.network else ""
    yield (
        f"a step takes at least: {span(seconds.compute)} of compute, {span(seconds.memory)} of memory traffic, "
        f"{span(seconds.links)} of collectives{between}"
    )
    job = compiled.job
    yield f"estimate: {cost(seconds, job.training.steps, target, prices)}"
    if sweep is not None:
        times = sweep.flops / (job.flops * job.training.steps)
        yield f"the sweep of {sweep.runs:,} runs, {times:,.1f} times this one's FLOPs: {hours(seconds, times * job.training.steps, target, prices)}"
    if price := prices.get(target.chip):
        yield f"  at ${price.usd:.2f} a chip and hour, list price of {price.date}, {price.region}: edit {PRICES}"
    else:
        yield f"  no price of {target.chip} in {PRICES}: add a row"
    full = job.model.remat == "full"
    yield ASSUMPTIONS.format(
        again=", a third more for remat 'full'" if full else "",
        reads=3 if full else 2,
        links="both links (the slice is a torus)" if target.is_torus else "one link",
        network=", and between slices at the network's full rate" if seconds.network else "",
    )


def cost(seconds: Roofline, steps: int, target: Target, prices: Mapping[str, Price]) -> str:
    """A step, the run's hours and its dollars, from all overlapping to nothing."""
    each = (
        f"{span(seconds.overlapped)} a step if all overlaps, {span(seconds.apart)} if nothing does"
    )
    return f"{each}; {steps:,} steps {hours(seconds, steps, target, prices)}"


def hours(seconds: Roofline, steps: Number, target: Target, prices: Mapping[str, Price]) -> str:
    """Of so many steps, one after the other, and their dollars."""
    steps_take = [seconds.overlapped * steps, seconds.apart * steps]
    text = f"{span(steps_take[0])} to {span(steps_take[1])}"
    price = prices.get(target.chip or "")
    if price is None:
        return text
    dollars = [each / 3600 * target.chips * price.usd for each in steps_take]
    return f"{text}, ${dollars[0]:,.2f} to ${dollars[1]:,.2f}"


def format_memory_reductions(job: Job, target: Target) -> Iterator[str]:
    yield "What would make it fit (each compiled):"
    enough = False
    for names, compiled in what_would_fit(job, target):
        fits = compiled.fits(target)
        enough = enough or fits
        yield f"  {'fits' if fits else 'no  '}  {needed(compiled)}  " + " ".join(
            f'--gin."{name}"' for name in names
        )
    if not enough:
        yield "  nothing of this. Take a larger slice, a smaller BATCH_SIZE or LENGTHS, or tensor ways in MESH (--search)"


def needed(compiled: Compiled) -> str:
    if compiled.temporaries is None:
        return f"{'> ' + size(compiled.state):>11}"
    return f"{size(compiled.needed):>11}"


def format_search(job: Job, target: Target, prices: Mapping[str, Price]) -> Iterator[str]:
    yield f"searching {len(list(meshes(len(target.devices) // target.slices)))} meshes, each with the remat policies that it takes until one fits"
    results: list[Compiled] = []
    for compiled in search(job, target):
        results.append(compiled)
        yield f"  {'fits' if compiled.fits(target) else 'no  '}  {needed(compiled)}  {_point(compiled)}  ({compiled.seconds:.0f} s)"
    best = ranked(results, target)
    if not best:
        raise DoesNotFit(f"DOES NOT FIT {target.name}: no mesh with any remat policy")
    yield "ranked by the estimate in which nothing overlaps:"
    yield from _ranking(best, target, prices)


def _ranking(
    best: Sequence[Compiled], target: Target, prices: Mapping[str, Price]
) -> Iterator[str]:
    for place, compiled in enumerate(best, 1):
        seconds = estimate(compiled, target)
        text = (
            f"{size(compiled.needed)} needed"
            if seconds is None
            else cost(seconds, compiled.job.training.steps, target, prices)
        )
        yield f"  {place:>2}. {_point(compiled)}: {text}"


def _point(compiled: Compiled) -> str:
    return f"MESH={compiled.job.training.mesh} remat={compiled.job.model.remat}"
