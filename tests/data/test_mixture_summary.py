import dataclasses

import numpy as np
import pytest
from toy_tasks import CHAT, KIND, SPELL

from flan_jax.data import batch_plan
from flan_jax.data.config import DataConfig
from flan_jax.data.loader import Loader
from flan_jax.data.mixture_data import prepare_mixture, task_lengths
from flan_jax.data.mixture_summary import summarize_mixture
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.run_records import MixtureSummary
from flan_jax.tasks.mixtures import MIXTURES, Mixture
from flan_jax.tasks.task import COLLECTIONS, TASKS, Collection

CONFIG = DataConfig(
    mixture="toy",
    held_out="cage",
    source="sandbox",
    data_dir=None,
    tokenizer="practice",
    lengths={"inputs": 16, "targets": 8},
    batch_size=4,
    seed=0,
    workers=0,
    packing=False,
    mixing={"toy_kind": 3, "toy_spell": 1},
)
STEPS = 50


@pytest.fixture
def data(monkeypatch, tmp_path):
    held_out = dataclasses.replace(KIND, name="held", cluster="cage")
    tasks = {"toy_kind": KIND, "toy_spell": SPELL, "held": held_out}
    for name, task in tasks.items():
        monkeypatch.setitem(TASKS, name, task)
    monkeypatch.setitem(MIXTURES, "toy", Mixture("toy", tuple(tasks)))
    return prepare_mixture(
        dataclasses.replace(CONFIG, cache_dir=str(tmp_path)),
        RowTokenizer(load_tokenizer("practice")),
    )


def test_the_numbers_of_each_task(data):
    summary = summarize_mixture(data, data.plan("encoder_decoder"), STEPS)
    kind, spell = summary.tasks
    assert (kind.task, kind.cluster, spell.task, spell.cluster) == (
        "toy_kind",
        "zoo",
        "toy_spell",
        "words",
    )
    assert (kind.examples, kind.filtered) == (17, 3)
    assert (spell.examples, spell.filtered) == (13, 0)
    assert kind.rate == 3 * spell.rate
    assert (kind.share, spell.share) == (0.75, 0.25)
    # 50 batches of 4 rows with one example each, three of four from toy_kind.
    assert kind.epochs == pytest.approx(150 / 17)
    assert spell.epochs == pytest.approx(50 / 13)

    inputs, _ = task_lengths(data.train["toy_kind"]).untruncated()
    assert kind.mean_inputs == pytest.approx(inputs.mean())
    assert kind.p95_inputs == pytest.approx(np.percentile(inputs, 95))
    assert 0 < kind.truncated_inputs == np.mean(inputs > 16) < 1
    _, targets = task_lengths(data.train["toy_spell"]).untruncated()
    assert spell.mean_targets == pytest.approx(targets.mean())
    assert spell.p95_targets == pytest.approx(np.percentile(targets, 95))
    assert 0 < spell.truncated_targets == np.mean(targets > 8) < 1
    assert kind.provenance == {"kind": "toy", "where": "toy_tasks.Rows"}


def test_tasks_are_grouped_by_the_grouping_of_a_collection(data, monkeypatch):
    groups = {"animals": ("toy_kind",), "language": ("toy_spell",)}
    collection = Collection(
        name="toys",
        names=list,
        find=lambda name: None,
        groupings={"subject": lambda: groups},
    )
    monkeypatch.setitem(COLLECTIONS, "toys", collection)
    config = dataclasses.replace(data.config, clusters="toys/subject", held_out=None)
    data = dataclasses.replace(data, config=config)
    summary = summarize_mixture(data, data.plan("encoder_decoder"), STEPS)
    assert [task.cluster for task in summary.tasks] == ["animals", "language"]


def tokens_of_a_block(plan):
    block, _ = plan.block(0)
    inputs, targets = plan.example_lengths(block.task, block.index)
    return inputs.sum(), targets.sum()


def test_the_numbers_of_a_batch(data):
    plan = data.plan("encoder_decoder")
    summary = summarize_mixture(data, plan, STEPS)
    inputs, targets = tokens_of_a_block(plan)
    rows = plan.block_steps * 4
    assert summary.rows_filled == {
        "inputs": pytest.approx(inputs / (rows * 16)),
        "targets": pytest.approx(targets / (rows * 8)),
    }
    assert summary.examples_per_batch == 4
    assert summary.supervised_tokens_per_batch == pytest.approx(
        targets / plan.block_steps
    )
    assert (summary.batch_size, summary.lengths, summary.steps) == (
        4,
        {"inputs": 16, "targets": 8},
        STEPS,
    )
    assert summary.held_out == ("held",)


def test_a_decoder_fills_one_row_with_both_sides(data):
    plan = data.plan("decoder")
    summary = summarize_mixture(data, plan, STEPS)
    inputs, targets = tokens_of_a_block(plan)
    filled = (inputs + targets) / (plan.block_steps * 4 * 24)
    assert summary.rows_filled == {"inputs and targets": pytest.approx(filled)}


def test_packing_puts_several_examples_into_a_row(data):
    packed = dataclasses.replace(
        data, config=dataclasses.replace(data.config, packing=True)
    )
    summary = summarize_mixture(packed, packed.plan("decoder"), STEPS)
    assert summary.examples_per_batch > 4.1


def test_the_summary_survives_the_manifest(data):
    summary = summarize_mixture(data, data.plan("decoder"), STEPS)
    assert MixtureSummary.from_json(summary.to_json()) == summary


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
@pytest.mark.parametrize("input_length", [16, 64])
def test_tokens_with_loss_are_those_of_the_batches(
    architecture, input_length, monkeypatch, tmp_path
):
    monkeypatch.setattr(batch_plan, "BLOCK_EXAMPLES", 64)
    monkeypatch.setitem(TASKS, "toy_chat", CHAT)
    monkeypatch.setitem(TASKS, "toy_kind", KIND)
    monkeypatch.setitem(MIXTURES, "chats", Mixture("chats", ("toy_chat", "toy_kind")))
    config = dataclasses.replace(
        CONFIG,
        mixture="chats",
        held_out=None,
        mixing={"toy_chat": 2, "toy_kind": 1},
        lengths={"inputs": input_length, "targets": 8},
        cache_dir=str(tmp_path),
    )
    data = prepare_mixture(config, RowTokenizer(load_tokenizer("practice")))
    plan = data.plan(architecture)

    loader = Loader(plan, data.train, data.row_tokenizer.tokens)
    tokens_with_loss = 0
    for step in range(plan.block_steps):
        tokens_with_loss += loader.batch(step)["decoder_loss_weights"].sum()
    summary = summarize_mixture(data, plan, STEPS)
    expected = tokens_with_loss / plan.block_steps
    assert summary.supervised_tokens_per_batch == pytest.approx(expected)
