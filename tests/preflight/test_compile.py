"""Preflight: known answers of its arithmetic and its reading of compiled programs, what it refuses, and one compilation for a TPU."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from flan_jax import hardware
from flan_jax.cli import gin_settings, preflight, program
from flan_jax.decoding import scorer
from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.preflight import compile, hlo, report
from flan_jax.preflight.hlo import Collective, Collectives, collectives, group_size
from flan_jax.preflight.roofline import Price, Roofline, read_prices, roofline
from flan_jax.preflight.search import estimate, meshes, ranked, search, what_would_fit, with_remat
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import init_state

MODEL = EncoderDecoderConfig(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    num_encoder_layers=2,
    num_decoder_layers=2,
)
DECODER = DecoderConfig(
    vocab_size=64, emb_dim=16, num_heads=2, head_dim=8, mlp_dim=32, num_layers=2
)


def job(*, model=MODEL, mesh=None, microbatches=1, rows=16, steps=10):
    training = TrainConfig(steps=steps, seed=0, mesh=mesh, microbatches=microbatches)
    optimizer = OptimizerConfig(learning_rate=1e-3)
    lengths = {"inputs": 16, "targets": 8}
    return compile.Job(
        model=model, optimizer=optimizer, training=training, rows=rows, eval_rows=8, lengths=lengths
    )


def target(count=8, *, memory=math.inf, chip=None, dimensions=()):
    return compile.Target("eight", jax.devices()[:count], chip, memory, dimensions)


# Chips and prices


def test_roofline_of_one_second_each():
    one = functools.partial(roofline, flops=275e12, traffic=1200e9, sent=50e9)
    assert one(hardware.CHIPS["v4"], closed=False) == (1.0, 1.0, 1.0, 0.0)
    seconds = one(hardware.CHIPS["v4"], closed=True)
    assert (seconds, seconds.overlapped, seconds.apart) == ((1.0, 1.0, 0.5, 0.0), 1.0, 2.5)
    # Two devices share a chip, and so its peaks.
    two = roofline(hardware.CHIPS["tpu7x"], flops=2307e12, traffic=0.0, sent=200e9, closed=False)
    assert two == (2.0, 0.0, 4.0, 0.0)
    # Between slices, over the network.
    slow = roofline(
        hardware.CHIPS["v5p"], flops=459e12, traffic=0.0, sent=0.0, closed=True, between=12.5e9
    )
    assert (slow, slow.overlapped) == ((1.0, 0.0, 0.0, 2.0), 2.0)


def test_every_tpu_has_a_price():
    prices = read_prices()
    assert set(prices) == {
        name for name, chip in hardware.CHIPS.items() if chip.kind.startswith("TPU")
    }
    assert all(price.usd > 0 and price.date for price in prices.values())


@pytest.mark.parametrize("row", ["v4,cheap,2025-01,us", "v4,-1,2025-01,us", "v4"])
def test_a_wrong_price_is_named(row, tmp_path):
    (tmp_path / "prices.csv").write_text(f"# edited\nchip,usd_per_chip_hour,date,region\n{row}\n")
    with pytest.raises(
        InputError, match="prices.csv has the row.*'v4'.*write chip,usd_per_chip_hour,date,region"
    ):
        read_prices(tmp_path / "prices.csv")


def test_hours_and_dollars():
    prices = {"v4": Price(3.0, "2025-01", "us")}
    text = report.cost(Roofline(1.0, 0.5, 0.5), 3600, target(4, chip="v4"), prices)
    assert (
        text
        == "1.00 s a step if all overlaps, 2.00 s if nothing does; 3,600 steps 1.0 h to 2.0 h, $12.00 to $24.00"
    )


# Collectives of a compiled program


def test_collectives_of_a_compiled_loop():
    """Five rounds of a gather, a scatter and a permute among four devices, then a sum over all eight."""
    mesh = jax.make_mesh((4, 2), ("a", "b"))

    def shard(x):
        def one(x, _):
            whole = jax.lax.all_gather(jnp.sin(x), "a", tiled=True)
            part = jax.lax.psum_scatter(jnp.cos(whole), "a", tiled=True)
            return jax.lax.ppermute(part, "a", [(i, (i + 1) % 4) for i in range(4)]), None

        return jax.lax.psum(jax.lax.scan(one, x, length=5)[0], ("a", "b"))

    spec = P(("a", "b"))
    step = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=spec, out_specs=P(), check_vma=False))
    rows = jax.ShapeDtypeStruct((8 * 128,), jnp.float32, sharding=NamedSharding(mesh, spec))
    found = collectives(step.lower(rows).compile().as_text(), 8)
    assert found == Collectives(
        [
            Collective("all-gather", 4, 5, 5 * 4 * 512),
            Collective("all-reduce", 8, 1, 512),
            Collective("collective-permute", 2, 5, 5 * 512),
            Collective("reduce-scatter", 4, 5, 5 * 4 * 512),
        ],
        0,
    )


TPU_TEXT = """\
HloModule jit_step, is_scheduled=true

%all-reduce-scatter.5.clone (input.36: bf16[256,128]) -> bf16[128,128] {
  %input.36 = bf16[256,128]{1,0:T(8,128)(2,1)} parameter(0)
  %all-reduce.407 = bf16[256,128]{1,0:T(8,128)(2,1)} all-reduce(%input.36), replica_groups={{0,2},{1,3}}, to_apply=%add
  ROOT %slice = bf16[128,128]{1,0:T(8,128)(2,1)} dynamic-slice(%all-reduce.407, %id), dynamic_slice_sizes={128,128}
}

%body (state: (s32[], f32[16])) -> (s32[], f32[16]) {
  %start = (f32[16]{0}, f32[64]{0}) all-gather-start(%x), replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={0}
  %fusion = bf16[128,128]{1,0} fusion(%y), kind=kCustom, calls=%all-reduce-scatter.5.clone
}

%windowed (state: (f32[8], u32[])) -> (f32[8], u32[]) {
  %two = u32[]{:T(128)} constant(2)
  %next = u32[]{:T(128)} add(%count, %two)
  %permute = f32[8]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
  ROOT %tuple = (f32[8]{0}, u32[]{:T(128)}) tuple(%permute, %next)
}

%windowed_condition (state: (f32[8], u32[])) -> pred[] {
  %eight = u32[]{:T(128)} constant(8)
  ROOT %lt = pred[]{:T(512)} compare(%count, %eight), direction=LT
}

%condition (state: (s32[], f32[16])) -> pred[] {
  %constant.1 = s32[]{:T(128)} constant(24)
  ROOT %lt = pred[]{:T(512)} compare(%count, %constant.1), direction=LT
}

%unclear (state: (s32[], f32[16])) -> pred[] {
  ROOT %lt = pred[]{:T(512)} compare(%count, %limit), direction=LT
}

ENTRY %main (x: f32[16]) -> f32[16] {
  %while.1 = (s32[]{:T(128)}, f32[16]{0}) while(%init), condition=%condition, body=%body
  %while.3 = (f32[8]{0}, u32[]{:T(128)}) while(%start), condition=%windowed_condition, body=%windowed
  ROOT %while.2 = (s32[]{:T(128)}, f32[16]{0}) while(%init), condition=%unclear, body=%body
}
"""


def test_collectives_as_tpus_write_them():
    """A loop's rounds in its condition, a reduce-scatter as a fused all-reduce, an asynchronous gather, a loop in steps of two; one that says nothing."""
    assert collectives(TPU_TEXT, 8) == Collectives(
        [
            Collective("all-gather", 4, 25, 25 * 256),
            Collective("collective-permute", 2, 4, 4 * 32),
            Collective("reduce-scatter", 2, 25, 25 * 65536),
        ],
        1,
    )


@pytest.mark.parametrize(
    "text, size",
    [
        ("{{0,2},{1,3}}", 2), ("[2,4]<=[8]", 4), ("[2,2]<=[2,2]T(1,0)", 2), ("mesh['a'=4,'b'=2] {'a'}", 4), ("{}", 8),
        ("mesh['a'=4,'b'=2] {'a','b'}", 8), ("mesh['a'=8] {'a':(2)4}", 4),
    ],
)  # fmt: skip
def test_group_sizes(text, size):
    assert group_size(f"%x), channel_id=1, replica_groups={text}, dimensions={{0}}", 8) == size


@pytest.mark.parametrize(
    "kind, sent",
    [("all-gather", 750.0), ("reduce-scatter", 750.0), ("all-to-all", 750.0), ("all-reduce", 1500.0), ("collective-permute", 1000.0)],
)  # fmt: skip
def test_bytes_sent_around_a_ring(kind, sent):
    assert Collective(kind, 4, 1, 1000).sent == sent


# The run's own step


def test_the_state_is_as_large_as_a_real_one():
    mesh = {"data": 2, "fsdp": 2, "tensor": 2}
    compiled = compile.compile_for(job(mesh=mesh), target())
    state = init_state(MODEL, job().optimizer.build(10), compile.mesh_on(mesh, target()), 0)
    assert compiled.state == sum(
        leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state)
    )
    assert compiled.batch == 16 // 4 * (3 * 16 + 5 * 8) * 4
    assert compiled.fits(target()) and compiled.temporaries > 0


@pytest.mark.parametrize(
    "model, arrays",
    [
        (MODEL, 2 * 16 + 3 * 8),  # prompts and their segments; answers, their inputs and segments
        (
            DECODER,
            2 * (1 + 16) + 9 + 2,
        ),  # PAD before the prompt; eight of the answer's tokens are fed, and room is in steps
    ],
)
def test_an_evaluation_holds_the_whole_state_beside_its_longest_batch(model, arrays):
    one = job(model=model, mesh={"fsdp": 8})
    compiled = compile.compile_ranking(one, target())
    assert compiled.batch == 4 * arrays
    assert compiled.state == compile.bytes_a_device(compile.abstract_inputs(one, target())[1])
    assert compiled.fits(target()) and compiled.temporaries > 0


@pytest.mark.parametrize("model, copies", [(MODEL, 2.5), (DECODER, 4.0)])
def test_generation_holds_its_cache_split_as_the_heads_are(model, copies):
    """Rows over fsdp, heads over tensor: of the cache's keys and values a device has its part, and none has all of it."""
    long = dataclasses.replace(
        job(model=model, mesh={"fsdp": 4, "tensor": 2}),
        lengths={"inputs": 16, "targets": 8192},
        eval_rows=64,
    )
    compiled = compile.compile_generation(long, target())
    room = 8192 + (17 if model is DECODER else 0)
    # Keys and values, layers, rows, positions, heads, head_dim, bytes, devices.
    cache = 2 * 2 * 64 * room * 2 * 8 * 4 // 8
    assert cache < compiled.temporaries < copies * cache
    assert compiled.state == compile.compile_ranking(long, target()).state


def test_collectives_grow_with_the_scanned_layers():
    """The program has one layer's collectives whatever the layers; counted they are as many times."""
    counts = []
    for layers in (2, 4):
        model = dataclasses.replace(MODEL, num_encoder_layers=layers, num_decoder_layers=layers)
        found = compile.compile_for(job(model=model, mesh={"fsdp": 8}), target()).found
        assert found.unknown_loops == 0
        counts.append(sum(each.count for each in found.found if each.kind == "all-gather"))
    outside = 2 * counts[0] - counts[1]
    assert 0 <= outside < counts[0] < counts[1]


def test_what_is_larger_than_memory_does_not_fit():
    own = compile.bytes_a_device(compile.abstract_inputs(job(), target())[1:])
    compiled = compile.compile_for(job(), target(memory=own + 1.0))
    assert not compiled.fits(target(memory=own + 1.0)) and compiled.temporaries > 1
    assert "DOES NOT FIT" in report.format_memory(compiled, target(memory=own + 1.0))
    small = target(memory=own - 1.0)
    compiled = compile.compile_for(job(), small)
    assert (compiled.found, compiled.temporaries, compiled.fits(small)) == (None, None, False)
    assert "the state alone" in report.format_memory(compiled, small)


@pytest.mark.parametrize(
    "message, gib",
    [
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of 15.25G hbm.", 19.5),
        ("RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (2.00T) exceeds", 2048),
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm.", None),
    ],
)  # fmt: skip
def test_what_the_compiler_says_of_memory(message, gib):
    """Beside arguments of one GiB."""
    found = compile.temporaries_of(message, 2**30)
    assert found == (None if gib is None else gib * 2**30)


@pytest.mark.parametrize(
    "message",
    ["INTERNAL: no such instruction", "RESOURCE_EXHAUSTED: memory space vmem. Used 20M of 16M"],
)
def test_another_error_of_the_compiler_is_not_taken_for_memory(message):
    with pytest.raises(RuntimeError, match=f"does not compile: {message}"):
        compile.temporaries_of(message, 0)


def test_estimate_counts_the_models_flops():
    """100 devices' worth of nothing but compute; remat 'full' does the forward pass again."""
    found = Collectives([], 0)
    seconds = {}
    for policy in ("none", "full"):
        one = with_remat(job(), policy)
        compiled = compile.Compiled(
            one, {"data": 8, "fsdp": 1, "tensor": 1}, 1000, 0, 100, found, 1.0
        )
        seconds[policy] = estimate(compiled, target(chip="v4"))
    assert seconds["none"].compute == pytest.approx(
        MODEL.train_flops(16, job().lengths) / 8 / 275e12
    )
    assert seconds["full"].compute == pytest.approx(4 / 3 * seconds["none"].compute)
    assert seconds["none"].links == 0.0
    assert seconds["full"].memory > seconds["none"].memory > 2 * 1100 / 1200e9


# What would make it fit, and the search


def compiled_as(needs):
    """A stand-in for compile_for that needs what `needs` says of the job."""

    def compiling(job, target):
        return compile.Compiled(job, {}, 0, 0, needs(job), Collectives([], 0), 0.0)

    return compiling


def tried(needs, memory, start):
    here = target(memory=memory)
    results = what_would_fit(start, here, compiled_as(needs))
    return [
        (tuple(name.partition("=")[0] for name in names), one.fits(here)) for names, one in results
    ]


def needs(job):
    """100, halved by each of the three."""
    mesh = job.training.mesh or {}
    return 100 >> sum(
        (mesh.get("fsdp", 1) > 1, job.model.remat == "full", job.training.microbatches > 1)
    )


FSDP, REMAT, MICROBATCHES = "MESH", "EncoderDecoderConfig.remat", "TrainConfig.microbatches"


def test_each_remedy_alone_and_no_more_if_one_is_enough():
    assert tried(needs, 60, job()) == [((FSDP,), True), ((REMAT,), True), ((MICROBATCHES,), True)]


def test_remedies_together_until_it_fits():
    alone = [((FSDP,), False), ((REMAT,), False), ((MICROBATCHES,), False)]
    assert tried(needs, 30, job()) == [*alone, ((FSDP, REMAT), True)]
    assert tried(needs, 20, job()) == [
        *alone,
        ((FSDP, REMAT), False),
        ((FSDP, REMAT, MICROBATCHES), True),
    ]
    assert tried(needs, 10, job())[-1] == ((FSDP, REMAT, MICROBATCHES), False)


def test_a_job_that_has_it_all_has_no_remedy():
    model = dataclasses.replace(MODEL, remat="full")
    assert tried(needs, 1, job(model=model, mesh={"fsdp": 8}, microbatches=2)) == []


def test_meshes_to_search():
    assert [tuple(mesh.values()) for mesh in meshes(4)] == [
        (4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4),
    ]  # fmt: skip
    for count in (1, 6, 8, 128):
        assert all(math.prod(mesh.values()) == count for mesh in meshes(count))


def test_search_keeps_the_least_remat_that_fits(monkeypatch):
    bytes_of = {"none": 100, "minimal": 50, "full": 25}
    compiling = compiled_as(lambda job: bytes_of[job.model.remat] // job.training.mesh["tensor"])
    monkeypatch.setattr("flan_jax.preflight.search.compile_for", compiling)
    here = target(memory=60)
    found = [(job.training.mesh["tensor"], job.model.remat) for job, *_ in search(job(), here)]
    # Two heads do not divide over four ways of tensor.
    assert found == 3 * [(1, "none"), (1, "minimal")] + 3 * [(2, "none")]
    best = ranked(list(search(job(), here)), here)
    assert [one.needed for one in best] == 6 * [50]


# Bad input


def test_without_libtpu_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(compile.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"takes libtpu, which is not installed.*pip install -e '.\[preflight\]'"
    ):
        compile.tpu_slice("v4:2x2x1")


@pytest.mark.parametrize(
    "topology, message",
    [
        ("v44:2x2x1", "unknown TPU version 'v44'. Did you mean 'v4'"),
        ("h100:8", "unknown TPU version 'h100'"),
        ("v4", "--topology=v4 has no dimensions in chips; write e.g. v4:2x2x1"),
        ("v4:8", "has no dimensions in chips"),
        ("v4:two", "has no dimensions in chips"),
    ],
)
def test_a_wrong_topology_is_refused(topology, message):
    with pytest.raises(InputError, match=message):
        compile.tpu_slice(topology)


@pytest.mark.parametrize(
    "mesh, message",
    [
        (
            {"fsdp": 3},
            "the axis 'fsdp' 3 devices, which does not divide eight: it has 8 devices. Write a divisor of 8",
        ),
        (
            {"data": 4, "tensor": 4},
            "the axis 'tensor' 4 devices, .* of which 2 are left for it. Write a divisor of 2",
        ),
        ({"data": 4}, "does not multiply to the 8"),
        ({"model": 8}, "MESH names the axis model"),
    ],
)
def test_a_mesh_that_does_not_fit_the_slice_says_which_axis(mesh, message):
    with pytest.raises(InputError, match=message):
        compile.mesh_on(mesh, target())


@pytest.mark.parametrize(
    "lengths, message",
    [
        ({"inputs": 8, "targets": "fit"}, "targets 'fit', .* Write the number"),
        ({"inputs": 8}, "write the tokens of a row"),
    ],
)
def test_lengths_that_take_data_are_refused(lengths, message):
    settings = gin_settings.load_settings(["flan_mixture.gin"], [f"LENGTHS = {lengths}"])
    with pytest.raises(InputError, match=message):
        compile.job_from_settings(settings)


# The program


def test_the_program_reads_no_data(capsys):
    cache = jax.config.jax_compilation_cache_dir
    flags = ["--gin_file=flan_mixture.gin", "--gin.SOURCE='tfds'", "--gin.DATA_DIR='/nowhere'"]
    assert program.exit_code(preflight.main, flags) == 0
    said = capsys.readouterr().out
    assert "devices 8 (cpu)" in said and "FITS: headroom" in said and "all-reduce" in said
    assert jax.config.jax_compilation_cache_dir == cache
    assert program.exit_code(preflight.main, [*flags, "--topology=v4:banana"]) == 2
    assert "error: --topology=v4:banana" in capsys.readouterr().err


def small_devices(monkeypatch, **fields):
    """The devices here, with other fields."""
    here = compile.devices_here()._replace(**fields)
    monkeypatch.setattr(compile, "devices_here", lambda: here)


@pytest.mark.parametrize("flags", [[], ["--search"]])
def test_what_does_not_fit_is_the_last_line_and_another_exit_code(flags, monkeypatch, capsys):
    small_devices(monkeypatch, memory=2**16)
    assert program.exit_code(preflight.main, ["--gin_file=flan_mixture.gin", *flags]) == 1
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith("error: DOES NOT FIT 8 x cpu, here: ")
    )


@pytest.mark.parametrize("step", ["compile_ranking", "compile_generation"])
def test_an_evaluation_that_does_not_fit_is_said(step, monkeypatch, capsys):
    def compiling(job, target):
        return compile.Compiled(job, {"data": 4, "fsdp": 2, "tensor": 1}, 0, 0, 2**30, None, 0.0)

    monkeypatch.setattr(compile, step, compiling)
    assert program.exit_code(preflight.main, ["--gin_file=flan_mixture.gin"]) == 1
    said = capsys.readouterr()
    assert "FITS: headroom" in said.out and "--gin.EvalConfig.rows=8" in said.out
    assert "DOES NOT FIT" in said.err


@pytest.mark.parametrize(
    "flags, said",
    [
        (
            ["--gin_file=flan_mixture.gin", "--runs=3"],
            "the sweep of 3 runs, 3.0 times this one's FLOPs",
        ),
        (
            ["--gin_file=number_of_templates.gin", "--gin.AblationConfig.base=None"],
            "the sweep of 3 runs, 3.0 times",
        ),
    ],
)
def test_a_sweep_is_known_by_its_runs_or_its_gin_file(flags, said, monkeypatch, capsys):
    small_devices(monkeypatch, chip="v4")
    assert program.exit_code(preflight.main, flags) == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--runs=0"], ["--gin_file=leave_one_cluster_out.gin", "--runs=2"]]
)
def test_a_number_of_runs_that_cannot_be(flags, capsys):
    assert program.exit_code(preflight.main, ["--gin_file=flan_mixture.gin", *flags]) == 2
    assert "leave it out" in capsys.readouterr().err


# A TPU


@pytest.fixture(scope="module")
def v4():
    pytest.importorskip(
        "libtpu", reason="libtpu compiles for TPUs without one: pip install -e '.[preflight]'"
    )
    return compile.tpu_slice("v4:2x2x1")


def test_a_slice_that_there_is_not(v4):
    with pytest.raises(
        InputError,
        match="there is no slice v4:3x3x3.*Usual ones of v4, in chips: 2x2x1, 2x2x2, .*4x4x8",
    ):
        compile.tpu_slice("v4:3x3x3")


def test_two_slices(v4):
    two = compile.tpu_slice("2xv4:2x2x1")
    assert (two.chips, len(two.devices), two.slices) == (8, 8, 2)
    compiled = compile.compile_for(job(mesh={"slices": 2, "data": 2, "fsdp": 2}), two)
    one = compile.compile_for(job(mesh={"data": 2, "fsdp": 2}), v4)
    assert compiled.mesh == {"data": 4, "fsdp": 2, "tensor": 1} and compiled.state == one.state
    between = [each for each in compiled.found.found if each.kind == hlo.BETWEEN_SLICES]
    assert between and not [each for each in one.found.found if each.kind == hlo.BETWEEN_SLICES]
    # The network of v4 is not known; if it were v5p's:
    known = estimate(compiled, two._replace(chip="v5p"))
    assert estimate(compiled, two).network == 0.0 < compiled.found.between / 6.25e9 == known.network
    assert "between slices" in "".join(report.format_collectives(compiled, two))
    with pytest.raises(InputError, match="MESH is for 1 slices.*Write 'slices': 2"):
        compile.compile_for(job(mesh={"data": 8}), two)


def test_a_step_compiled_for_a_tpu(v4):
    assert (v4.chips, len(v4.devices), v4.is_torus) == (4, 4, False)
    compiled = compile.compile_for(job(mesh={"fsdp": 2, "tensor": 2}), v4)
    assert compiled.fits(v4) and compiled.found.unknown_loops == 0
    assert {"all-gather", "all-reduce"} <= {each.kind for each in compiled.found.found}
    # As on any other four devices: nothing of the state depends on what they are.
    here = compile.abstract_inputs(compiled.job, target(4))[1]
    assert compiled.state == compile.bytes_a_device(here)
    assert np.isfinite(estimate(compiled, v4).apart)


@pytest.mark.parametrize("model, layers", [(MODEL, "num_decoder_layers"), (DECODER, "num_layers")])
def test_generation_gathers_parameters_once_only_where_there_is_room(
    model, layers, v4, monkeypatch
):
    wide = dataclasses.replace(model, dtype="bfloat16", emb_dim=1024, mlp_dim=4096, **{layers: 8})
    one = job(model=wide, mesh={"fsdp": 4})
    once = compile.compile_generation(one, v4)
    monkeypatch.setattr(scorer, "memory_of", lambda devices: once.state)
    each = compile.compile_generation(one, v4)
    assert once.temporaries > 2 * each.temporaries
