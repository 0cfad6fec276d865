"""Which cluster helps which: the false discovery rate, and the section of a sweep's report."""

import csv

import pytest
from sweep_directory import CLUSTERS, write_sweep

from flan_jax.reports.sweep_report import write
from flan_jax.reports.sweep_results import read_sweep
from flan_jax.reports.sweep_scores import score_sweep
from flan_jax.reports.transfer import effects, false_discovery_rates


def test_a_textbook_case():
    """Benjamini and Hochberg (1995), section 3.2: of 15 tests four are discovered at 5 %."""
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
        0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
    ]  # fmt: skip
    rates = false_discovery_rates(p_values)
    assert sum(rate < 0.05 for rate in rates) == 4
    assert rates[3] == pytest.approx(0.0095 * 15 / 4)


def test_what_was_not_tested_does_not_count():
    adjusted = false_discovery_rates([0.01, None, 0.04])
    assert adjusted == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert false_discovery_rates([]) == []


@pytest.fixture
def sweep(tmp_path):
    axes = {"DataConfig.only": ["nli", "sentiment", "commonsense"]}
    clusters = {
        name: CLUSTERS[name]
        for name in ("nli", "sentiment", "coreference", "commonsense")
    }
    return write_sweep(tmp_path, axes=axes, clusters=clusters, examples=100)


def test_each_trained_cluster_has_an_effect_on_all_others(sweep):
    found = effects(score_sweep(read_sweep(sweep)))
    pairs = [(effect.trained, effect.scored) for effect in found]
    assert len(pairs) == 9
    assert ("nli", "coreference") in pairs and ("coreference", "nli") not in pairs
    assert not any(trained == scored for trained, scored in pairs)
    by_scored = {effect.scored: effect for effect in found}
    assert by_scored["nli"].row.difference > 10 and by_scored["nli"].counts
    assert by_scored["coreference"].row.difference < 0


def test_the_section_and_the_file(sweep):
    page = write(sweep).read_text()
    assert "<h2>Which cluster helps which</h2>" in page
    assert "Of 9 pairs of clusters" in page
    assert "helps nli" in page
    with open(sweep / "transfer.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert {row["trained on"] for row in rows} == {"nli", "sentiment", "commonsense"}
    for row in rows:
        change = float(row["tuned"]) - float(row["untuned"])
        assert float(row["difference"]) == pytest.approx(change, abs=0.11)
        assert float(row["q"]) >= float(row["p"])


def test_other_sweeps_have_none(tmp_path):
    write_sweep(tmp_path, axes={"HELD_OUT": ["nli"]})
    assert "Which cluster helps which" not in write(tmp_path).read_text()
    assert not (tmp_path / "transfer.csv").exists()
