import dataclasses

import numpy as np
import pytest
from toy_tasks import KIND, SPELL

from flan_jax.data.batch_plan import TaskLengths
from flan_jax.data.config import (
    DataConfig,
    check_data,
    check_lengths,
    default_cache_dir,
    fit_lengths,
    fixed_lengths,
)
from flan_jax.data.store_requests import Selection
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.mixtures import MIXTURES, Mixture
from flan_jax.tasks.task import TASKS

CONFIG = DataConfig(
    mixture="toy",
    held_out=None,
    source="sandbox",
    data_dir=None,
    tokenizer="practice",
    lengths={"inputs": 64, "targets": 32},
    batch_size=8,
    seed=7,
)


def changed(**changes):
    return dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize(
    "name",
    ["examples_per_dataset", "eval_examples", "seen_eval_examples", "renderings"],
)
def test_counts_are_at_least_one(name):
    assert changed(**{name: 1})
    with pytest.raises(
        InputError, match=f"DataConfig.{name} is 0; it must be at least 1"
    ):
        changed(**{name: 0})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("source", "tdfs", "unknown SOURCE 'tdfs'. Did you mean 'tfds'?"),
        (
            "clusters",
            "papr",
            "unknown DataConfig.clusters 'papr'. Did you mean 'paper'?",
        ),
        (
            "assignment",
            "unifrom",
            "unknown DataConfig.assignment 'unifrom'. Did you mean",
        ),
    ],
)
def test_unknown_choices(name, value, message):
    with pytest.raises(InputError) as raised:
        changed(**{name: value})
    assert str(raised.value).startswith(message)


def test_the_split_holds_out_a_cluster(monkeypatch):
    monkeypatch.setitem(TASKS, "toy_kind", KIND)
    monkeypatch.setitem(TASKS, "toy_spell", SPELL)
    monkeypatch.setitem(MIXTURES, "toy", Mixture("toy", ("toy_kind", "toy_spell")))
    assert CONFIG.split() == Split(train=("toy_kind", "toy_spell"), held_out=())
    assert changed(held_out="zoo").split() == Split(
        train=("toy_spell",), held_out=("toy_kind",), clusters=("zoo",)
    )
    # A cluster outside the mixture is held out as a whole.
    only_spell = changed(mixture="toy_spell", held_out=["zoo"])
    assert only_spell.split().held_out == ("toy_kind",)


def test_one_cluster_is_trained_on_alone(monkeypatch):
    clusters = {"a": "nli", "b": "paraphrase", "c": "sentiment", "d": "misc"}
    for name, cluster in clusters.items():
        task = dataclasses.replace(KIND, name=f"toy_{name}", cluster=cluster)
        monkeypatch.setitem(TASKS, task.name, task)
    monkeypatch.setitem(
        MIXTURES, "toy", Mixture("toy", tuple(f"toy_{name}" for name in clusters))
    )
    # Paraphrase is related to inference: it is neither trained on nor held out.
    assert changed(only="nli").split() == Split(
        train=("toy_a",), held_out=("toy_c", "toy_d"), clusters=("sentiment", "misc")
    )
    assert changed(only="nli").held_out_clusters == ("sentiment", "misc")
    assert changed(only="misc", held_out="nli").split() == Split(
        train=("toy_d",), held_out=("toy_a",), clusters=("nli",)
    )
    with pytest.raises(InputError, match="cluster to train on alone 'sentimental'"):
        changed(only="sentimental").split()
    with pytest.raises(
        InputError,
        match="no task of the cluster 'paraphrase' is left to train on alone",
    ):
        changed(only="paraphrase", held_out="nli").split()


def test_clusters_of_the_released_code(monkeypatch):
    rte = dataclasses.replace(KIND, name="rte")
    cola = dataclasses.replace(KIND, name="cola")
    monkeypatch.setitem(TASKS, "rte", rte)
    monkeypatch.setitem(TASKS, "cola", cola)
    monkeypatch.setitem(MIXTURES, "toy", Mixture("toy", ("rte", "cola")))
    split = changed(clusters="released", held_out="linguistic_acceptability").split()
    assert split.train == ("rte",)
    assert "cola" in split.held_out


def test_the_selection_of_examples():
    config = changed(
        examples_per_dataset=11,
        eval_examples=12,
        renderings=3,
        assignment="round_robin",
    )
    assert config.selection == Selection(
        cap=11,
        max_eval_examples=12,
        renderings=3,
        assignment="round_robin",
        seed=7,
        prompt_tokens=64,
    )


def test_the_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == CONFIG.cache_folder == "/somewhere/flan_jax"
    assert changed(cache_dir="/mine").cache_folder == "/mine"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache_dir() == "/home/me/.cache/flan_jax"


def test_a_local_data_dir_exists(tmp_path, monkeypatch):
    check_data(CONFIG)
    check_data(changed(data_dir=str(tmp_path)))
    check_data(changed(data_dir="gs://bucket/folder"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows").mkdir()
    check_data(changed(data_dir="~/rows"))
    with pytest.raises(
        InputError, match="DATA_DIR is ~/none, but there is no such folder"
    ):
        check_data(changed(data_dir="~/none"))
    with pytest.raises(InputError, match="LENGTHS is {'inputs': 64}; write"):
        check_data(changed(lengths={"inputs": 64}))


@pytest.mark.parametrize(
    "lengths", [{"inputs": 1, "targets": 2}, {"inputs": 1, "targets": "fit"}]
)
def test_valid_lengths(lengths):
    check_lengths(lengths)


@pytest.mark.parametrize(
    "lengths",
    [
        {},
        {"inputs": 8},
        {"targets": 8},
        {"inputs": 8, "targets": 8, "labels": 8},
        {"inputs": 0, "targets": 8},
        {"inputs": "fit", "targets": 8},
        {"inputs": 8, "targets": 1},
        {"inputs": 8, "targets": "long"},
        {"inputs": 8, "targets": 8.5},
        {"targets": 8, "inputs": 8.5},
    ],
)
def test_lengths_that_are_not_valid(lengths):
    with pytest.raises(InputError, match="LENGTHS is .*; write the tokens of a row"):
        check_lengths(lengths)
    with pytest.raises(InputError, match="LENGTHS is .*; write the tokens of a row"):
        fixed_lengths(lengths, "not reached")
    with pytest.raises(InputError, match="LENGTHS is .*; write the tokens of a row"):
        fit_lengths(lengths, {}, {})


def test_fixed_lengths():
    assert fixed_lengths({"inputs": 8, "targets": 4}, "refused") == {
        "inputs": 8,
        "targets": 4,
    }
    with pytest.raises(InputError, match="refused"):
        fixed_lengths({"inputs": 8, "targets": "fit"}, "refused")


def lengths_of(inputs, targets):
    """The lengths of examples of so many tokens, whose segments have an end token besides."""
    segments = np.stack([inputs, targets], axis=1).reshape(-1) + 1
    return TaskLengths(segments, np.arange(len(inputs) + 1) * 2)


def test_given_lengths_are_kept():
    tasks = {"a": lengths_of([100], [100])}
    assert fit_lengths({"inputs": 8, "targets": 4}, tasks, {"a": 1}) == {
        "inputs": 8,
        "targets": 4,
    }


def test_targets_fit_the_longest():
    """Two of 1000 targets, or one of 2000, take 43 + 1 tokens, the others 3 + 1."""
    lengths = {"inputs": 16, "targets": "fit"}
    mostly_short = [43] * 2 + [3] * 998
    tasks = {"a": lengths_of([15] * 1000, mostly_short)}
    assert fit_lengths(lengths, tasks, {"a": 5}) == {
        "inputs": 16,
        "targets": 48,
    }  # 44 rounded up
    nearly_all_short = [43] + [3] * 1999
    tasks = {"a": lengths_of([15] * 2000, nearly_all_short)}
    assert fit_lengths(lengths, tasks, {"a": 5}) == {
        "inputs": 16,
        "targets": 8,
    }  # 1.1 * 4.02


def test_a_longest_target_that_is_a_multiple_of_eight_is_not_rounded():
    tasks = {"a": lengths_of([15] * 10, [15, 3] * 5)}
    fitted = fit_lengths({"inputs": 16, "targets": "fit"}, tasks, {"a": 1})
    assert fitted == {"inputs": 16, "targets": 16}


def test_targets_fit_a_full_row_of_inputs():
    """Ten examples of 10 input tokens fill a row; their 7 target tokens each take 1.1 * 70."""
    tasks = {"a": lengths_of([9], [6])}
    assert (
        fit_lengths({"inputs": 100, "targets": "fit"}, tasks, {"a": 1})["targets"] == 80
    )
    # Inputs count as truncated: one example of 50 tokens fills the row; 1.1 * 16 target tokens.
    tasks = {"a": lengths_of([900], [15])}
    fitted = fit_lengths({"inputs": 50, "targets": "fit"}, tasks, {"a": 1})
    assert fitted["targets"] == 24


def test_targets_fit_the_mixing_rates_not_the_sizes():
    """Task b has most examples; each task is drawn by its rate."""
    tasks = {"a": lengths_of([9], [9]), "b": lengths_of([9] * 5000, [1] * 5000)}
    lengths = {"inputs": 100, "targets": "fit"}
    # A full row of inputs comes with 10 * (10 * 0.5 + 2 * 0.5) = 60 target tokens.
    assert fit_lengths(lengths, tasks, {"a": 300, "b": 300})["targets"] == 72
    # With rate 1 of 3001, task a is beyond the percentile, and 10 * 2.003 tokens come with a row.
    assert fit_lengths(lengths, tasks, {"a": 1, "b": 3000})["targets"] == 24


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("seed", [-1, 2**32, True]),
        ("maximum_rate", [0, True]),
        ("workers", [-1, True]),
        ("temperature", [0.5, float("nan"), float("inf")]),
        ("max_leakage", [-0.1, 1.1, float("nan")]),
    ],
)
def test_numbers(field, values):
    for value in values:
        with pytest.raises(InputError, match=f"DataConfig.{field} is"):
            dataclasses.replace(CONFIG, **{field: value})


def test_true_is_no_number_of_rows():
    with pytest.raises(InputError, match="BATCH_SIZE is True; write a whole number"):
        dataclasses.replace(CONFIG, batch_size=True)


@pytest.mark.parametrize(
    "lengths", [{"inputs": True, "targets": 8}, {"inputs": 8, "targets": True}]
)
def test_true_is_no_length(lengths):
    with pytest.raises(InputError, match="LENGTHS is"):
        check_lengths(lengths)
