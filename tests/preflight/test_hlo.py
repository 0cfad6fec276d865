"""Collectives read from the text of compiled programs."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from flan_jax.preflight.hlo import (
    Collective,
    Collectives,
    collectives,
    parse_group_size,
)


def test_collectives_of_a_compiled_loop():
    """Five rounds of gather, scatter and permute among four devices, then a sum over all eight."""
    mesh = jax.make_mesh((4, 2), ("a", "b"))

    def shard(x):
        def one(x, _):
            whole = jax.lax.all_gather(jnp.sin(x), "a", tiled=True)
            part = jax.lax.psum_scatter(jnp.cos(whole), "a", tiled=True)
            return jax.lax.ppermute(
                part, "a", [(i, (i + 1) % 4) for i in range(4)]
            ), None

        return jax.lax.psum(jax.lax.scan(one, x, length=5)[0], ("a", "b"))

    spec = P(("a", "b"))
    step = jax.jit(
        jax.shard_map(shard, mesh=mesh, in_specs=spec, out_specs=P(), check_vma=False)
    )
    rows = jax.ShapeDtypeStruct(
        (8 * 128,), jnp.float32, sharding=NamedSharding(mesh, spec)
    )
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
  %all-reduce.407 = bf16[256,128]{1,0:T(8,128)(2,1)} all-reduce(%input.36), \
replica_groups={{0,2},{1,3}}, to_apply=%add
  ROOT %slice = bf16[128,128]{1,0:T(8,128)(2,1)} dynamic-slice(%all-reduce.407, %id), \
dynamic_slice_sizes={128,128}
}

%body (state: (s32[], f32[16])) -> (s32[], f32[16]) {
  %start = (f32[16]{0}, f32[64]{0}) all-gather-start(%x), \
replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={0}
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
  %while.3 = (f32[8]{0}, u32[]{:T(128)}) while(%start), \
condition=%windowed_condition, body=%windowed
  ROOT %while.2 = (s32[]{:T(128)}, f32[16]{0}) while(%init), condition=%unclear, body=%body
}
"""


def test_collectives_as_tpus_write_them():
    """How TPUs write them.

    The rounds of a loop are in its condition, a reduce-scatter is a fused all-reduce, a gather is
    asynchronous, a loop counts in steps of two, and one loop does not say its rounds.
    """
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
        ("{{0,2},{1,3}}", 2),
        ("[2,4]<=[8]", 4),
        ("[2,2]<=[2,2]T(1,0)", 2),
        ("mesh['a'=4,'b'=2] {'a'}", 4),
        ("{}", 8),
        ("mesh['a'=4,'b'=2] {'a','b'}", 8),
        ("mesh['a'=8] {'a':(2)4}", 4),
    ],
)
def test_group_sizes(text, size):
    assert (
        parse_group_size(
            f"%x), channel_id=1, replica_groups={text}, dimensions={{0}}", 8
        )
        == size
    )


@pytest.mark.parametrize(
    "kind, sent",
    [
        ("all-gather", 750.0),
        ("reduce-scatter", 750.0),
        ("all-to-all", 750.0),
        ("all-reduce", 1500.0),
        ("collective-permute", 1000.0),
    ],
)
def test_bytes_sent_around_a_ring(kind, sent):
    assert Collective(kind, 4, 1, 1000).sent_bytes == sent
