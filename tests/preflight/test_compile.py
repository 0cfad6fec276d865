"""Programs compiled for devices here and for TPUs: their memory and their collectives."""

import dataclasses

import jax
import numpy as np
import pytest
from preflight_jobs import DECODER, MODEL, make_job, make_target, v4_slice

from flan_jax.cli import gin_settings
from flan_jax.decoding import scorer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.errors import InputError
from flan_jax.preflight.compile import (
    abstract_inputs,
    bytes_per_device,
    compile_for,
    compile_generation,
    compile_option_scoring,
    job_from_settings,
    parse_temporary_bytes,
)
from flan_jax.preflight.hlo import BETWEEN_SLICES
from flan_jax.preflight.report import format_collectives, format_memory
from flan_jax.preflight.roofline import estimate
from flan_jax.preflight.target import mesh_on, tpu_slice
from flan_jax.training.state import init_state


def test_the_state_is_as_large_as_a_real_one():
    mesh = {"data": 2, "fsdp": 2, "tensor": 2}
    compiled = compile_for(make_job(mesh=mesh), make_target())
    optimizer = make_job().optimizer.build(10)
    state = init_state(MODEL, optimizer, mesh_on(mesh, make_target()), 0)
    state_bytes = 0
    for leaf in jax.tree.leaves(state):
        shard = leaf.addressable_shards[0]
        state_bytes += shard.data.nbytes
    assert compiled.state_bytes == state_bytes
    assert compiled.batch_bytes == 16 // 4 * (3 * 16 + 5 * 8) * 4
    assert compiled.fits(make_target()) and compiled.temporary_bytes > 0


@pytest.mark.parametrize(
    "model, numbers_per_row",
    [
        # Prompts and their segments; options, their inputs and segments.
        (MODEL, 2 * 16 + 3 * 8),
        # PAD before the prompt; eight of the option's tokens are fed, and room is in steps.
        (DECODER, 2 * (1 + 16) + 9 + 2),
    ],
)
def test_an_evaluation_holds_the_whole_state_beside_its_longest_batch(
    model, numbers_per_row
):
    job = make_job(model=model, mesh={"fsdp": 8})
    compiled = compile_option_scoring(job, make_target())
    assert compiled.batch_bytes == 4 * numbers_per_row
    _, state, _ = abstract_inputs(job, make_target())
    assert compiled.state_bytes == bytes_per_device(state)
    assert compiled.fits(make_target()) and compiled.temporary_bytes > 0


@pytest.mark.parametrize("model, copies", [(MODEL, 2.5), (DECODER, 4.0)])
def test_generation_holds_its_cache_split_as_the_heads_are(model, copies):
    """Rows are split over fsdp and heads over tensor, so no device has the whole cache."""
    job = dataclasses.replace(
        make_job(model=model, mesh={"fsdp": 4, "tensor": 2}),
        lengths={"inputs": 16, "targets": 8192},
        eval_rows=64,
    )
    compiled = compile_generation(job, make_target())
    positions = 8192 + (17 if model is DECODER else 0)
    # Keys and values, layers, rows, positions, heads, head_dim, bytes, devices.
    cache_bytes = 2 * 2 * 64 * positions * 2 * 8 * 4 // 8
    assert cache_bytes < compiled.temporary_bytes < copies * cache_bytes
    assert (
        compiled.state_bytes == compile_option_scoring(job, make_target()).state_bytes
    )


def test_beams_need_more_memory_than_greedy_generation():
    """A beam has a KV cache of its own; the length of the answers is that of the configuration."""
    job = dataclasses.replace(
        make_job(), lengths={"inputs": 16, "targets": 512}, eval_rows=64
    )
    greedy = compile_generation(job, make_target())
    beams = GenerationConfig(num_beams=4)
    four = dataclasses.replace(job, generation=beams)
    short = dataclasses.replace(
        job, generation=dataclasses.replace(beams, max_length=64)
    )
    bytes_of_four = compile_generation(four, make_target()).temporary_bytes
    assert bytes_of_four > 3 * greedy.temporary_bytes
    assert compile_generation(short, make_target()).temporary_bytes < bytes_of_four / 4


def test_the_job_of_a_run_has_its_generation_settings():
    bindings = [
        "EvalConfig.generation = @GenerationConfig()",
        "GenerationConfig.num_beams = 3",
    ]
    settings = gin_settings.load_settings(["flan_mixture.gin"], bindings)
    job = job_from_settings(settings)
    assert (job.answers.num_beams, job.answers.new_tokens) == (3, 48)


def test_collectives_grow_with_the_scanned_layers():
    """The program's text has the collectives of one layer, which count once for each layer."""
    counts = []
    for layers in (2, 4):
        model = dataclasses.replace(
            MODEL, num_encoder_layers=layers, num_decoder_layers=layers
        )
        compiled = compile_for(make_job(model=model, mesh={"fsdp": 8}), make_target())
        assert compiled.collectives.unknown_loops == 0
        entries = compiled.collectives.entries
        counts.append(
            sum(entry.count for entry in entries if entry.kind == "all-gather")
        )
    outside = 2 * counts[0] - counts[1]
    assert 0 <= outside < counts[0] < counts[1]


def test_what_is_larger_than_memory_does_not_fit():
    _, *state_and_batch = abstract_inputs(make_job(), make_target())
    argument_bytes = bytes_per_device(state_and_batch)

    target = make_target(memory=argument_bytes + 1.0)
    compiled = compile_for(make_job(), target)
    assert not compiled.fits(target) and compiled.temporary_bytes > 1
    assert "DOES NOT FIT" in format_memory(compiled, target)

    target = make_target(memory=argument_bytes - 1.0)
    compiled = compile_for(make_job(), target)
    assert not compiled.fits(target)
    assert (compiled.collectives, compiled.temporary_bytes) == (None, None)
    assert "the state alone" in format_memory(compiled, target)


@pytest.mark.parametrize(
    "message, expected",
    [
        (
            "Ran out of memory in memory space hbm. Used 20.50G of 15.25G hbm.",
            19.5 * 2**30,
        ),
        (
            "Ran out of memory on HBM, the memory required for HLO temporaries (2.00T) exceeds",
            2 * 2**40,
        ),
        ("Ran out of memory in memory space hbm.", None),
    ],
)
def test_the_compilers_message_says_how_much_memory_it_needs(message, expected):
    """The arguments take one GiB."""
    assert parse_temporary_bytes(f"RESOURCE_EXHAUSTED: {message}", 2**30) == expected


@pytest.mark.parametrize(
    "message",
    [
        "INTERNAL: no such instruction",
        "RESOURCE_EXHAUSTED: memory space vmem. Used 20M of 16M",
    ],
)
def test_another_error_of_the_compiler_is_not_taken_for_memory(message):
    with pytest.raises(RuntimeError, match=f"does not compile: {message}"):
        parse_temporary_bytes(message, 0)


@pytest.mark.parametrize(
    "lengths, message",
    [
        ({"inputs": 8, "targets": "fit"}, "targets 'fit', .* Write the number"),
        ({"inputs": 8}, "write the tokens of a row"),
    ],
)
def test_lengths_that_take_data_are_refused(lengths, message):
    settings = gin_settings.load_settings(
        ["flan_mixture.gin"], [f"LENGTHS = {lengths}"]
    )
    with pytest.raises(InputError, match=message):
        job_from_settings(settings)


def test_two_slices():
    v4 = v4_slice()
    two = tpu_slice("2xv4:2x2x1")
    assert (two.chips, len(two.devices), two.slices) == (8, 8, 2)

    compiled = compile_for(make_job(mesh={"slices": 2, "data": 2, "fsdp": 2}), two)
    on_one_slice = compile_for(make_job(mesh={"data": 2, "fsdp": 2}), v4)
    assert compiled.mesh == {"data": 4, "fsdp": 2, "tensor": 1}
    assert compiled.state_bytes == on_one_slice.state_bytes
    assert BETWEEN_SLICES in {entry.kind for entry in compiled.collectives.entries}
    assert BETWEEN_SLICES not in {
        entry.kind for entry in on_one_slice.collectives.entries
    }

    # The network of v4 is not known. If it were v5p's:
    with_network = estimate(compiled, two._replace(chip="v5p"))
    assert with_network.dcn == compiled.collectives.dcn_bytes / 6.25e9 > 0.0
    assert estimate(compiled, two).dcn == 0.0
    assert "between slices" in "".join(format_collectives(compiled, two))
    with pytest.raises(InputError, match=r"MESH is for 1 slices.*Write 'slices': 2"):
        compile_for(make_job(mesh={"data": 8}), two)


def test_a_step_compiled_for_a_tpu():
    v4 = v4_slice()
    assert (v4.chips, len(v4.devices), v4.is_torus) == (4, 4, False)
    compiled = compile_for(make_job(mesh={"fsdp": 2, "tensor": 2}), v4)
    assert compiled.fits(v4) and compiled.collectives.unknown_loops == 0
    assert {"all-gather", "all-reduce"} <= {
        entry.kind for entry in compiled.collectives.entries
    }
    # The state is as large as on any other four devices.
    _, state, _ = abstract_inputs(compiled.job, make_target(4))
    assert compiled.state_bytes == bytes_per_device(state)
    assert np.isfinite(estimate(compiled, v4).serial_seconds)


@pytest.mark.parametrize(
    "model, layers", [(MODEL, "num_decoder_layers"), (DECODER, "num_layers")]
)
def test_generation_gathers_parameters_once_only_where_there_is_room(
    model, layers, monkeypatch
):
    v4 = v4_slice()
    sizes = {"emb_dim": 1024, "mlp_dim": 4096, layers: 8}
    job = make_job(
        model=dataclasses.replace(model, dtype="bfloat16", **sizes), mesh={"fsdp": 4}
    )
    gathered_once = compile_generation(job, v4)
    monkeypatch.setattr(scorer, "memory_of", lambda devices: gathered_once.state_bytes)
    gathered_per_token = compile_generation(job, v4)
    assert gathered_once.temporary_bytes > 2 * gathered_per_token.temporary_bytes
