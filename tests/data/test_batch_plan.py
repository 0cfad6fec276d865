import collections

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flan_jax.data import batch_plan as plan_module
from flan_jax.data.batch_plan import MixturePlan, TaskLengths
from flan_jax.errors import InputError

LENGTHS = {"inputs": 64, "targets": 16}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(plan_module, "BLOCK_EXAMPLES", 1024)


def lengths(count, seed=0, inputs=30, targets=6):
    rng = np.random.default_rng(seed)
    return TaskLengths(rng.integers(1, inputs, count), rng.integers(1, targets, count))


def plan(tasks=None, rates=None, **changes):
    tasks = tasks or {"a": lengths(50), "b": lengths(500, seed=1), "c": lengths(2000, seed=2)}
    rates = rates or {name: min(len(task.inputs), 300) for name, task in tasks.items()}
    settings = {
        "architecture": "encoder_decoder",
        "batch_size": 8,
        "lengths": LENGTHS,
        "seed": 0,
    } | changes
    return MixturePlan(tasks, rates, **settings)


def block_refs(plan, block):
    """All examples of a block, task and index."""
    steps = range(block * plan.block_steps, (block + 1) * plan.block_steps)
    return [ref for step in steps for row in plan.rows(step) for ref in row]


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_rows_hold_what_they_can_and_no_more(architecture):
    tasks = {"a": lengths(50), "long": lengths(300, seed=3, inputs=200, targets=40)}
    here = plan(tasks, architecture=architecture)
    for step in (0, 1, here.block_steps + 3):
        for row in here.rows(step):
            inputs = sum(min(tasks[t].inputs[i] + 1, 64) for t, i in row)
            targets = sum(min(tasks[t].targets[i] + 1, 16) for t, i in row)
            assert (
                (inputs <= 64 and targets <= 16)
                if architecture == "encoder_decoder"
                else inputs + targets <= 80
            )


def test_a_batch_depends_on_plan_and_step_alone():
    steps = [700, 3, 0, 30_000, 699, 3]
    forwards = {step: plan().rows(step) for step in steps}
    one = plan()
    assert all(one.rows(step) == forwards[step] for step in reversed(steps))


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_hosts_read_the_same_rows_together(hosts):
    here, share = plan(), 8 // hosts
    rows = [
        row
        for host in range(hosts)
        for row in here.rows(5, slice(host * share, (host + 1) * share))
    ]
    assert rows == here.rows(5)


@pytest.mark.parametrize("packing", [True, False])
def test_blocks_hold_tasks_in_exact_proportion(packing):
    here = plan(packing=packing)
    drawn = collections.Counter()
    for block in range(4):
        drawn.update(ref.task for ref in block_refs(here, block))
        total = (block + 1) * here.block_examples
        for task, rate in zip(here.names, here.rates, strict=True):
            # Within one at either end of the stretch, and the few that wait for the next block.
            assert abs(drawn[task] - total * rate / here.rates.sum()) <= 2 + 0.01 * total


def test_every_example_is_seen_once_an_epoch():
    tasks = {"a": lengths(700), "b": lengths(100, seed=1)}
    here = plan(tasks, {"a": 700, "b": 100}, packing=False)
    task, index = here.stream(0, 800 * 6)
    for epoch in range(6):
        part = slice(epoch * 800, (epoch + 1) * 800)
        for number, name in enumerate(tasks):
            assert sorted(index[part][task[part] == number]) == list(range(len(tasks[name].inputs)))
    first, second = index[:800][task[:800] == 0], index[800:1600][task[800:1600] == 0]
    assert first.tolist() != second.tolist()


def test_packing_loses_nothing():
    here = plan()
    blocks = 5
    packed = collections.Counter(ref for block in range(blocks) for ref in block_refs(here, block))
    task, index = here.stream(0, blocks * here.block_examples)
    streamed = collections.Counter(
        (here.names[t], int(i)) for t, i in zip(task, index, strict=True)
    )
    late_task, late_index = here._late(blocks - 1)
    waiting = collections.Counter(
        (here.names[t], int(i)) for t, i in zip(late_task, late_index, strict=True)
    )
    assert sum(here.block(block)[1] for block in range(blocks)) == 0
    assert packed == streamed - waiting


def test_late_examples_go_to_the_next_block_and_are_counted_when_they_find_no_room_there():
    here = plan()
    here.block_examples = int(here.block_examples * 1.2)  # more than fits
    own, (rows, aside) = here.stream(0, here.block_examples), here.block(0)
    late = here._late(0)
    assert len(rows.index) + len(late[0]) == len(own[0])
    _, aside = here.block(1)
    assert aside > 0


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(counts=st.lists(st.integers(1, 400), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_any_mixture_gives_full_batches(counts, seed):
    tasks = {f"t{i}": lengths(count, seed=i) for i, count in enumerate(counts)}
    here = plan(tasks, seed=seed)
    assert len(here.rows(0)) == 8
    assert any(here.rows(0)) and any(here.rows(1))


def test_another_seed_or_rate_or_length_is_another_plan():
    prints = {
        plan().fingerprint,
        plan(seed=1).fingerprint,
        plan(batch_size=16).fingerprint,
        plan(packing=False).fingerprint,
    }
    prints |= {plan({"a": lengths(50)}).fingerprint, plan({"a": lengths(50, seed=1)}).fingerprint}
    assert len(prints) == 6
    assert plan().fingerprint == plan().fingerprint


def test_unpacked_rows_hold_one_example():
    assert {len(row) for row in plan(packing=False).rows(0)} == {1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": {"inputs": 0, "targets": 16}}, "inputs 0 tokens"),
        ({"lengths": {"inputs": 64, "targets": 1}}, "every target would be truncated"),
        ({"lengths": {"inputs": 64}}, "targets 0 tokens"),
        ({"batch_size": 0}, "BATCH_SIZE is 0"),
        ({"tasks": {"a": lengths(0)}, "rates": {"a": 1}}, "'a' has no training examples"),
        ({"rates": {"a": 0, "b": 1, "c": 1}}, "mixing rate 0"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(InputError, match=message):
        plan(**changes)


def test_there_is_no_step_before_the_first():
    with pytest.raises(InputError, match="no step -1"):
        plan().rows(-1)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(examples=st.integers(1, 60), renderings=st.integers(1, 5), rate=st.integers(1, 60))
def test_each_epoch_shows_the_next_rendering(examples, renderings, rate):
    """Every epoch of a task holds each example once, in rendering `epoch mod renderings`."""
    stored = lengths(examples * renderings)
    tasks = {"a": TaskLengths(stored.inputs, stored.targets, renderings)}
    here = plan(tasks, {"a": min(rate, examples)})
    epochs = 2 * renderings + 1
    _, index = here.stream(0, epochs * examples)
    for epoch, rows in enumerate(index.reshape(epochs, examples)):
        assert sorted(rows // renderings) == list(range(examples))
        assert set(rows % renderings) == {epoch % renderings}


def test_renderings_must_divide_the_rows():
    with pytest.raises(InputError, match="7 rows are not 2 renderings of each example"):
        plan({"a": TaskLengths(np.ones(7, int), np.ones(7, int), 2)}, {"a": 1})
