import collections
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flan_jax.data import batch_plan
from flan_jax.data.batch_plan import MixturePlan, TaskLengths
from flan_jax.data.loader import fit_segments
from flan_jax.data.row_format import RowTokens
from flan_jax.data.token_store import TokenSegment
from flan_jax.errors import InputError

LENGTHS = {"inputs": 64, "targets": 16}
FLAN_ENDS = RowTokens(start=0, prompt_tail=(1,), answer_tail=(1,), stop_ids=(1,))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(batch_plan, "BLOCK_EXAMPLES", 1024)


def pairs(inputs, targets, renderings=1):
    """The lengths of examples that are an input and a target, each with an EOS behind it."""
    segments = np.stack([inputs, targets], axis=1).reshape(-1) + 1
    return TaskLengths(segments, np.arange(len(inputs) + 1) * 2, renderings)


def random_pairs(count, seed=0, inputs=30, targets=6, renderings=1):
    rng = np.random.default_rng(seed)
    input_lengths = rng.integers(1, inputs, count)
    target_lengths = rng.integers(1, targets, count)
    return pairs(input_lengths, target_lengths, renderings)


def conversations(segments_of_examples):
    """The lengths of examples, each a list of the lengths of its segments without their EOS."""
    starts = np.cumsum([0, *map(len, segments_of_examples)])
    return TaskLengths(np.concatenate(segments_of_examples) + 1, starts)


def make_plan(tasks=None, rates=None, **changes):
    if tasks is None:
        tasks = {
            "a": random_pairs(50),
            "b": random_pairs(500, seed=1),
            "c": random_pairs(2000, seed=2),
        }
    rates = rates or {name: min(len(task), 300) for name, task in tasks.items()}
    settings = {
        "architecture": "encoder_decoder",
        "batch_size": 8,
        "lengths": LENGTHS,
        "seed": 0,
    }
    return MixturePlan(tasks, rates, **settings | changes)


def block_refs(plan, block):
    """All examples of a block, task and index."""
    steps = range(block * plan.block_steps, (block + 1) * plan.block_steps)
    return [ref for step in steps for row in plan.rows(step) for ref in row]


def named(plan, task, index):
    """Counts examples, as block_refs gives them, from arrays."""
    return collections.Counter(
        (plan.names[t], i) for t, i in zip(task.tolist(), index.tolist(), strict=True)
    )


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_rows_hold_what_they_can_and_no_more(architecture):
    tasks = {
        "a": random_pairs(50),
        "long": random_pairs(300, seed=3, inputs=200, targets=40),
    }
    truncated = {name: task.truncated(LENGTHS) for name, task in tasks.items()}
    plan = make_plan(tasks, architecture=architecture)
    for step in (0, 1, plan.block_steps + 3):
        for row in plan.rows(step):
            inputs = sum(truncated[task][0][index] for task, index in row)
            targets = sum(truncated[task][1][index] for task, index in row)
            if architecture == "encoder_decoder":
                assert inputs <= 64 and targets <= 16
            else:
                assert inputs + targets <= 80


def test_lengths_of_pairs_in_a_row():
    task = pairs(np.array([3, 62, 63, 64, 0]), np.array([1, 14, 15, 16, 17]))
    inputs, targets = task.untruncated()
    assert inputs.tolist() == [4, 63, 64, 65, 1]
    assert targets.tolist() == [2, 15, 16, 17, 18]
    inputs, targets = task.truncated(LENGTHS)
    assert inputs.tolist() == [4, 63, 64, 64, 1]
    assert targets.tolist() == [2, 15, 16, 16, 16]
    assert inputs.dtype == targets.dtype == np.int32


def test_the_oldest_segments_of_a_conversation_are_left_out():
    task = conversations([[9, 1, 20, 30, 3], [9, 1, 20, 40, 3], [1, 2, 3, 80, 3], [7]])
    inputs, targets = task.untruncated()
    assert inputs.tolist() == [10 + 2 + 21 + 31, 10 + 2 + 21 + 41, 2 + 3 + 4 + 81, 0]
    assert targets.tolist() == [4, 4, 4, 8]
    # All that fits exactly; all but the oldest; the newest input segment, cut; no inputs.
    inputs, _ = task.truncated(LENGTHS)
    assert inputs.tolist() == [64, 2 + 21 + 41, 64, 0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    examples=st.lists(
        st.lists(st.integers(0, 20), min_size=1, max_size=6), min_size=1, max_size=20
    ),
    inputs=st.integers(1, 40),
    targets=st.integers(2, 20),
)
def test_truncated_lengths_are_those_that_the_loader_puts(examples, inputs, targets):
    lengths = {"inputs": inputs, "targets": targets}
    planned_inputs, planned_targets = conversations(examples).truncated(lengths)
    for number, example in enumerate(examples):
        segments = [TokenSegment(np.zeros(length + 1), False) for length in example]
        fitted_inputs, fitted_targets = fit_segments(segments, lengths, FLAN_ENDS)
        assert planned_inputs[number] == sum(len(s.tokens) for s in fitted_inputs)
        assert planned_targets[number] == len(fitted_targets.tokens)


def test_a_batch_depends_on_plan_and_step_alone():
    steps = [700, 3, 0, 30_000, 699, 3]
    from_new_plans = {step: make_plan().rows(step) for step in steps}
    plan = make_plan()
    assert all(plan.rows(step) == from_new_plans[step] for step in reversed(steps))


@pytest.mark.parametrize(
    "architecture, first_refs, checksum",
    [
        ("encoder_decoder", [("a", 314), ("b", 205)], 4048548398),
        ("decoder", [("a", 0), ("b", 388), ("b", 8), ("a", 71)], 3950490531),
    ],
)
def test_plans_stay_the_same_across_versions(architecture, first_refs, checksum):
    """If this changes, raise batch_plan.VERSION: runs would resume with other batches."""
    numbers = np.arange(400)
    tasks = {
        "a": pairs(numbers * 7 % 31, numbers * 3 % 5),
        "b": pairs(numbers * 11 % 17, numbers * 5 % 13, renderings=2),
    }
    plan = make_plan(tasks, {"a": 40, "b": 27}, architecture=architecture)
    first_row = plan.rows(1)[0]
    assert first_row[: len(first_refs)] == first_refs
    second_block, _ = plan.block(1)
    assert zlib.crc32(second_block.index.astype("<i8").tobytes()) == checksum


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_hosts_read_the_same_rows_together(hosts):
    plan = make_plan()
    share = 8 // hosts
    slices = [slice(host * share, (host + 1) * share) for host in range(hosts)]
    assert [row for rows in slices for row in plan.rows(5, rows)] == plan.rows(5)


@pytest.mark.parametrize("packing", [True, False])
def test_blocks_hold_tasks_in_exact_proportion(packing):
    plan = make_plan(packing=packing)
    drawn = collections.Counter()
    for block in range(4):
        drawn.update(ref.task for ref in block_refs(plan, block))
        total = (block + 1) * plan.block_examples
        # Within one at either end of the stretch, and the few that wait for the next block.
        tolerance = 2 + 0.01 * total
        for task, rate in zip(plan.names, plan.rates, strict=True):
            expected = total * rate / plan.rates.sum()
            assert abs(drawn[task] - expected) <= tolerance


def test_every_example_is_seen_once_an_epoch():
    tasks = {"a": random_pairs(700), "b": random_pairs(100, seed=1)}
    plan = make_plan(tasks, {"a": 700, "b": 100}, packing=False)
    task, index = plan.stream(0, 800 * 6)
    for epoch in range(6):
        epoch_draws = slice(epoch * 800, (epoch + 1) * 800)
        for number, lengths in enumerate(tasks.values()):
            of_task = task[epoch_draws] == number
            assert sorted(index[epoch_draws][of_task]) == list(range(len(lengths)))
    first_epoch = index[:800][task[:800] == 0]
    second_epoch = index[800:1600][task[800:1600] == 0]
    assert first_epoch.tolist() != second_epoch.tolist()


def test_packing_loses_nothing():
    plan = make_plan()
    blocks = 5
    packed = collections.Counter(
        ref for block in range(blocks) for ref in block_refs(plan, block)
    )
    streamed = named(plan, *plan.stream(0, blocks * plan.block_examples))
    waiting = named(plan, *plan._overflow(blocks - 1))
    assert sum(plan.block(block)[1] for block in range(blocks)) == 0
    assert packed == streamed - waiting


def test_what_finds_no_room_goes_to_the_next_block():
    plan = make_plan()
    plan.block_examples = int(plan.block_examples * 1.2)  # more than fits
    overflow = named(plan, *plan._overflow(0))
    first, deferred = plan.block(0)
    assert deferred == 0
    in_first_block = named(plan, first.task, first.index)
    drawn = named(plan, *plan.stream(0, plan.block_examples))
    assert in_first_block + overflow == drawn
    # There it comes after the block's own examples, which leave room for only some of it.
    second, deferred = plan.block(1)
    assert 0 < deferred < overflow.total()
    drawn = named(plan, *plan.stream(plan.block_examples, 2 * plan.block_examples))
    placed_at_once = drawn - named(plan, *plan._overflow(1))
    placed_late = overflow.total() - deferred
    in_second_block = named(plan, second.task, second.index)
    assert in_second_block.total() == placed_at_once.total() + placed_late


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_any_mixture_gives_full_batches(counts, seed):
    tasks = {f"t{i}": random_pairs(count, seed=i) for i, count in enumerate(counts)}
    plan = make_plan(tasks, seed=seed)
    assert len(plan.rows(0)) == 8
    assert any(plan.rows(0)) and any(plan.rows(1))


def test_what_changes_a_plan_changes_its_fingerprint():
    lengths = random_pairs(50)
    joined = TaskLengths(lengths.segments, lengths.starts[::2])
    task = {"a": lengths}
    plans = [
        make_plan(task),
        make_plan({"b": lengths}),
        make_plan(task, {"a": 49}),
        make_plan(task, seed=1),
        make_plan(task, batch_size=16),
        make_plan(task, lengths=LENGTHS | {"inputs": 65}),
        make_plan(task, packing=False),
        make_plan(task, architecture="decoder"),
        make_plan({"a": random_pairs(50, seed=1)}),
        make_plan({"a": random_pairs(50, renderings=2)}),
        make_plan({"a": joined}),
        make_plan({"a": conversations([[1, 2], [3, 4, 5]])}),
        make_plan({"a": conversations([[1, 2, 3], [4, 5]])}),
    ]
    assert len({plan.fingerprint for plan in plans}) == len(plans)
    assert make_plan(task).fingerprint == plans[0].fingerprint


def test_unpacked_rows_hold_one_example():
    assert {len(row) for row in make_plan(packing=False).rows(0)} == {1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": {"inputs": 0, "targets": 16}}, "inputs 0 tokens"),
        ({"lengths": {"inputs": 64, "targets": 1}}, "every target would be truncated"),
        ({"lengths": {"inputs": 64}}, "targets 0 tokens"),
        ({"batch_size": 0}, "BATCH_SIZE is 0"),
        ({"tasks": {}}, "at least one task"),
        (
            {"tasks": {"a": random_pairs(0)}, "rates": {"a": 1}},
            "'a' has no training examples",
        ),
        ({"rates": {"a": 0, "b": 1, "c": 1}}, "mixing rate 0"),
        ({"rates": {"b": 1, "c": 1}}, "mixing rate 0"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(**changes)


def test_the_smallest_settings():
    plan = make_plan(
        {"a": random_pairs(1)}, lengths={"inputs": 1, "targets": 2}, batch_size=1
    )
    assert plan.rows(0) == [[("a", 0)]]


def test_plain_text_is_for_decoders():
    tasks = {"text": conversations([[4, 5], [7]])}
    assert make_plan(tasks, architecture="decoder").rows(0)
    message = "'text' has examples of a single segment, plain text.*Train a decoder"
    with pytest.raises(InputError, match=message):
        make_plan(tasks)


def test_there_is_no_step_before_the_first():
    with pytest.raises(InputError, match="no step -1"):
        make_plan().rows(-1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    examples=st.integers(1, 60), renderings=st.integers(1, 5), rate=st.integers(1, 60)
)
def test_each_epoch_shows_the_next_rendering(examples, renderings, rate):
    """Every epoch of a task holds each example once, in rendering `epoch mod renderings`."""
    tasks = {"a": random_pairs(examples * renderings, renderings=renderings)}
    plan = make_plan(tasks, {"a": min(rate, examples)})
    epochs = 2 * renderings + 1
    _, index = plan.stream(0, epochs * examples)
    for epoch, rows in enumerate(index.reshape(epochs, examples)):
        assert sorted(rows // renderings) == list(range(examples))
        assert set(rows % renderings) == {epoch % renderings}


def test_renderings_must_divide_the_rows():
    ones = np.ones(7, int)
    with pytest.raises(InputError, match="7 rows are not 2 renderings of each example"):
        make_plan({"a": pairs(ones, ones, renderings=2)}, {"a": 1})
