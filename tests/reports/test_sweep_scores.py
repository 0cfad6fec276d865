import json

import numpy as np
import pytest
from sweep_directory import CLUSTERS, FEW_CLUSTERS, edit_json, run_folder, write_sweep

from flan_jax.bootstrap import Interval
from flan_jax.reports.scores import Score, ScoreRow, subtract
from flan_jax.reports.sweep_results import read_sweep
from flan_jax.reports.sweep_scores import (
    Cluster,
    difference,
    held_out_change,
    held_out_mean,
    scale,
    score_sweep,
)
from flan_jax.run_records import AFTER, BEFORE

MIXTURES = ["flan2021_1_clusters", "flan2021_3_clusters"]


@pytest.fixture
def few(tmp_path):
    return write_sweep(
        tmp_path, axes={"HELD_OUT": list(FEW_CLUSTERS)}, clusters=FEW_CLUSTERS
    )


def headline(sweep):
    return score_sweep(read_sweep(sweep)).headline


def edit_tasks(sweep, change):
    for task in FEW_CLUSTERS["nli"]:
        edit_json(run_folder(sweep, 0) / "eval" / f"{task}.json", change)


def test_scores_are_the_mean_over_seeds_templates_and_tasks(tmp_path):
    sweep = write_sweep(tmp_path)
    means = []
    for index in (0, 1):
        for task in CLUSTERS["nli"]:
            content = json.loads(
                (run_folder(sweep, index) / "eval" / f"{task}.json").read_text()
            )
            means.append(content["after"]["mean"])
    clusters = headline(sweep)
    assert clusters[0].name == "nli"
    assert clusters[0].mean.after.interval.mean == pytest.approx(np.mean(means))
    cluster_means = [cluster.mean.after.mean for cluster in clusters]
    assert held_out_mean(clusters, AFTER).mean == pytest.approx(np.mean(cluster_means))


def test_clusters_of_one_run_weigh_alike_whatever_their_size(tmp_path):
    clusters = FEW_CLUSTERS | {"sentiment": {"sst2": 2}}
    axes = {"HELD_OUT": [list(clusters)], "SEED": [0, 1]}
    scored = headline(write_sweep(tmp_path, axes=axes, clusters=clusters))
    means = [cluster.mean.after.mean for cluster in scored]
    assert len(means) == 3
    assert held_out_mean(scored, AFTER).mean == pytest.approx(np.mean(means))


def test_a_task_without_all_scores_is_excluded_from_the_mean(few):
    edit_json(run_folder(few, 0) / "eval" / "rte.json", lambda task: task.pop("after"))
    nli, coreference = headline(few)
    assert nli.excluded == ["rte"] and coreference.excluded == []
    assert [task.name for task in nli.complete_tasks] == ["anli_r1", "cb"]
    means = [task.after.mean for task in nli.complete_tasks]
    assert nli.mean.after.mean == pytest.approx(np.mean(means))


def test_a_run_that_still_trains_does_not_exclude_the_trained_one(tmp_path):
    axes = {"HELD_OUT": ["nli"], "SEED": [0, 1]}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, states={1: "running"}
    )
    (nli,) = headline(sweep)
    assert nli.runs == ("HELD_OUT=nli SEED=0",) and nli.is_scored(AFTER)
    assert held_out_mean([nli], AFTER).mean == pytest.approx(nli.mean.after.mean)


def test_no_mean_where_a_cluster_is_not_scored(tmp_path):
    axes = {"HELD_OUT": list(FEW_CLUSTERS)}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, states={1: "running"}
    )
    clusters = headline(sweep)
    assert held_out_mean(clusters, BEFORE) is not None
    assert held_out_mean(clusters, AFTER) is None and held_out_mean([], AFTER) is None


def test_settings_are_compared_in_pairs(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": list(FEW_CLUSTERS)}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, templates=3, examples=10
    )
    by_setting = score_sweep(read_sweep(sweep)).by_setting
    first, second = (by_setting[(mixture,)] for mixture in MIXTURES)
    forward = difference(first, second, list(FEW_CLUSTERS), AFTER)
    means = [held_out_mean(clusters, AFTER) for clusters in (first, second)]
    assert forward.interval.mean == pytest.approx(means[1].mean - means[0].mean)

    backward = difference(second, first, list(FEW_CLUSTERS), AFTER)
    assert backward.interval.mean == pytest.approx(-forward.interval.mean)
    assert backward.p_value == forward.p_value
    same = difference(first, first, list(FEW_CLUSTERS), AFTER)
    assert (same.interval.mean, same.interval.low, same.interval.high) == (0, 0, 0)
    assert same.p_value == 1

    # Pairs say more than two intervals do: what makes an example hard for both models cancels.
    paired_width = forward.interval.high - forward.interval.low
    assert paired_width < 2 * (means[0].high - means[0].low)


def changed_clusters(runs):
    """Clusters whose gain is 0 in one seed and 20 points in the other; `runs` of each cluster."""
    before = np.zeros((2, 1, 50))
    after = before + np.array([0.0, 20.0])[:, None, None]
    result = []
    for number, names in enumerate(runs):
        scores = {BEFORE: Score([before]), AFTER: Score([after])}
        row = ScoreRow(f"cluster_{number}", scores)
        result.append(Cluster(row.name, row, [row], [], names))
    return result


def test_what_tuning_adds_is_averaged_over_clusters_with_their_seeds():
    shared = held_out_change(changed_clusters([("a", "b")] * 4))
    alone = held_out_change(changed_clusters([(f"{n}a", f"{n}b") for n in range(4)]))
    assert shared.mean == alone.mean == 10
    # Seeds that clusters share do not average out.
    assert alone.standard_error == pytest.approx(shared.standard_error / 2, rel=0.1)


def test_nothing_is_added_where_a_cluster_does_not_pair():
    clusters = changed_clusters([("a", "b")])
    scores = clusters[0].mean.scores
    scores[AFTER] = Score([scores[AFTER].values[0][:, :, :40]])
    assert held_out_change(clusters) is None and held_out_change([]) is None


def test_settings_with_other_tasks_are_not_compared(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": ["nli"]}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, templates=3, examples=10
    )
    (run_folder(sweep, 1) / "eval" / "rte.json").unlink()
    by_setting = score_sweep(read_sweep(sweep)).by_setting
    first, second = (by_setting[(mixture,)] for mixture in MIXTURES)
    assert difference(first, second, ["nli"], AFTER) is None
    assert difference(first, second, ["coreference"], AFTER) is None


def test_a_metric_of_a_whole_set_has_no_paired_test(few):
    def drop_values(task):
        for phase in ("before", "after"):
            task[phase].update(values=None, interval=None, standard_error=None)

    edit_json(run_folder(few, 0) / "eval" / "rte.json", drop_values)
    nli, coreference = headline(few)
    assert nli.mean.p_value is None and coreference.mean.p_value is not None


def test_the_paired_test_is_symmetric_and_sees_no_difference_in_equal_models(few):
    def swap(task):
        task["before"], task["after"] = task["after"], task["before"]

    def make_equal(task):
        task["after"] = task["before"]

    first = headline(few)[0].mean.p_value
    assert first < 0.05
    edit_tasks(few, swap)
    assert headline(few)[0].mean.p_value == pytest.approx(first, rel=0.5, abs=1e-3)
    edit_tasks(few, make_equal)
    assert headline(few)[0].mean.p_value == 1.0


def test_arithmetic_of_values():
    low, high = Interval(50.0, 3.0, 44.0, 56.0), Interval(60.0, 4.0, 52.0, 68.0)
    assert subtract(high, low) == pytest.approx(Interval(10.0, 5.0, 0.2, 19.8))
    assert scale(low, 0.5) == Interval(25.0, 1.5, 22.0, 28.0)
    values = np.ones((1, 2, 3))
    assert subtract(3 * values, values).tolist() == (2 * values).tolist()
    assert subtract(values, low) is None and subtract(values, values[:, :1]) is None
