"""What would make a run fit, and the search of meshes and remat policies."""

import dataclasses
import math

import jax
from preflight_jobs import MODEL, make_job, make_target

from flan_jax.models.config import REMAT_POLICIES, register_remat_policy
from flan_jax.preflight.compile import Compiled
from flan_jax.preflight.hlo import Collectives
from flan_jax.preflight.search import meshes, ranked, search, what_would_fit

REMAT = "EncoderDecoderConfig.remat"
MICROBATCHES = "TrainConfig.microbatches"


def compile_with(needed_bytes):
    """A stand-in for compile_for whose result needs `needed_bytes(job)`."""

    def compile_job(job, target):
        return Compiled(
            job=job,
            mesh={},
            state_bytes=0,
            batch_bytes=0,
            temporary_bytes=needed_bytes(job),
            collectives=Collectives([], unknown_loops=0),
            compile_seconds=0.0,
        )

    return compile_job


def halved_by_each_change(job):
    """100 bytes, halved by each of fsdp, remat and microbatches."""
    mesh = job.training.mesh or {}
    changes = [
        mesh.get("fsdp", 1) > 1,
        job.model.remat == "full",
        job.training.microbatches > 1,
    ]
    return 100 >> sum(changes)


def tried(memory, job):
    """[(names of the changed settings, whether the job fits with them)]."""
    target = make_target(memory=memory)
    results = []
    for settings, compiled in what_would_fit(
        job, target, compile_with(halved_by_each_change)
    ):
        names = tuple(setting.partition("=")[0] for setting in settings)
        results.append((names, compiled.fits(target)))
    return results


ALONE = [("MESH",), (REMAT,), (MICROBATCHES,)]


def test_each_reduction_alone_and_no_more_if_one_is_enough():
    results = tried(60, make_job())
    assert results == [(settings, True) for settings in ALONE]


def test_reductions_together_until_it_fits():
    none_alone = [(settings, False) for settings in ALONE]
    two = ("MESH", REMAT)
    three = ("MESH", REMAT, MICROBATCHES)
    assert tried(30, make_job()) == [*none_alone, (two, True)]
    assert tried(20, make_job()) == [*none_alone, (two, False), (three, True)]
    assert tried(10, make_job()) == [*none_alone, (two, False), (three, False)]


def test_a_job_that_has_it_all_has_no_reduction():
    model = dataclasses.replace(MODEL, remat="full")
    job = make_job(model=model, mesh={"fsdp": 8}, microbatches=2)
    assert tried(1, job) == []


def test_meshes_to_search():
    sizes = [tuple(mesh.values()) for mesh in meshes(4)]
    assert sizes == [(4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)]
    for count in (1, 6, 8, 128):
        assert all(math.prod(mesh.values()) == count for mesh in meshes(count))


def test_search_keeps_the_least_remat_that_fits(monkeypatch):
    bytes_under = {"none": 100, "minimal": 50, "full": 25}

    def needed_bytes(job):
        return bytes_under[job.model.remat] // job.training.mesh["tensor"]

    monkeypatch.setattr(
        "flan_jax.preflight.search.compile_for", compile_with(needed_bytes)
    )
    target = make_target(memory=60)
    results = list(search(make_job(), target))
    points = []
    for result in results:
        job = result.job
        points.append((job.training.mesh["tensor"], job.model.remat))
    # Two heads do not divide over a tensor-parallel degree of four.
    assert points == 3 * [(1, "none"), (1, "minimal")] + 3 * [(2, "none")]
    assert [result.needed_bytes for result in ranked(results, target)] == 6 * [50]


def test_search_compiles_every_registered_policy_where_none_does_not_fit(monkeypatch):
    bytes_under = {"none": 100, "offload": 55, "names": 70, "minimal": 50, "full": 25}
    policies = dict(REMAT_POLICIES)
    monkeypatch.setattr("flan_jax.models.config.REMAT_POLICIES", policies)
    monkeypatch.setattr("flan_jax.preflight.search.REMAT_POLICIES", policies)
    for name in ("offload", "names"):
        register_remat_policy(name, jax.checkpoint_policies.dots_saveable)
    needed = compile_with(lambda job: bytes_under[job.model.remat])
    monkeypatch.setattr("flan_jax.preflight.search.compile_for", needed)

    def tried_under(memory):
        results = search(make_job(), make_target(1, memory=memory))
        return [result.job.model.remat for result in results]

    assert tried_under(100) == ["none"]
    assert tried_under(60) == ["none", "offload", "names", "minimal"]
    assert tried_under(30) == ["none", "offload", "names", "minimal", "full"]
