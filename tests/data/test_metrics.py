import math

import numpy as np
import pytest
import sacrebleu
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from flan_jax.data.metrics import accuracy, bleu, exact_match, mean_f1, pearson_spearman, rouge, token_f1
from flan_jax.errors import InputError

ALL = (accuracy, bleu, exact_match, mean_f1, pearson_spearman, rouge, token_f1)


def test_accuracy():
    assert accuracy(["yes", "no", "no", ["a", "b"]], ["yes", "No", "no", "b"]) == {"accuracy": 75.0}


def test_exact_match_normalises_as_squad_does():
    targets = ["The Eiffel Tower", ["two", "2"], "an apple", "x"]
    assert exact_match(targets, ["eiffel tower!", "2", "apples", "y"]) == {"exact_match": 50.0}


def test_token_f1():
    # "cat sat" and "cat sat down" share two words: precision 2/3, recall 1, F1 0.8.
    assert token_f1(["the cat sat"], ["A cat sat down."])["f1"] == pytest.approx(80.0)
    assert token_f1([["dog", "cat sat"]], ["cat"])["f1"] == pytest.approx(200 / 3)
    assert token_f1(["cat cat"], ["cat"])["f1"] == pytest.approx(200 / 3)
    assert token_f1(["cat"], [""])["f1"] == 0.0


def test_mean_f1():
    # a: precision 2/3, recall 1 -> 0.8. b: precision 1, recall 1/2 -> 2/3. c: never found.
    targets, predictions = ["a", "a", "b", "b", "c"], ["a", "a", "b", "a", "d"]
    assert mean_f1(targets, predictions)["mean_f1"] == pytest.approx(100 * (0.8 + 2 / 3 + 0) / 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3))
def test_correlations_are_scipys(pairs):
    x, y = ([str(pair[i]) for pair in pairs] for i in (0, 1))
    got = pearson_spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert got == {"pearson": 0.0, "spearman": 0.0}
        return
    numbers = np.array(pairs, float)
    assert got["pearson"] == pytest.approx(100 * scipy.stats.pearsonr(*numbers.T).statistic, abs=1e-6)
    assert got["spearman"] == pytest.approx(100 * scipy.stats.spearmanr(*numbers.T).statistic, abs=1e-6)


def test_a_prediction_that_is_no_number_counts_as_minus_one():
    assert pearson_spearman(["0.0", "1.0", "2.0"], ["4", "3", "?"]) == pearson_spearman(
        ["0.0", "1.0", "2.0"], ["4", "3", "-1"]
    )


def test_bleu_is_sacrebleus():
    predictions = ["the cat sat on the mat", "he reads a book (slowly)"]
    lists = [["the cat sat on a mat", "a cat was on the mat"], ["he reads the book, slowly"]]
    streams = [["the cat sat on a mat", "he reads the book, slowly"], ["a cat was on the mat", None]]
    want = sacrebleu.corpus_bleu(predictions, streams, tokenize="intl").score
    assert 10 < want < 90
    assert bleu(lists, predictions)["bleu"] == pytest.approx(want)
    assert bleu(["a b c d e"], ["a b c d e"])["bleu"] == pytest.approx(100)
    assert bleu(["a b c d e"], ["A B C D E"])["bleu"] < 50


def test_rouge_is_rouge_scores():
    reference, other = "the cat sat . a dog ran", "something else"
    prediction = "a dog ran . the cat slept"
    want = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeLsum"]).score(
        "the cat sat .\na dog ran", "a dog ran .\nthe cat slept"
    )
    got = rouge([[other, reference], "x y"], [prediction, "x y"])
    perfect = {"rouge1": 1.0, "rouge2": 1.0, "rougeLsum": 1.0}
    assert got == {kind: pytest.approx(50 * (want[kind].fmeasure + perfect[kind])) for kind in perfect}
    # Sentence by sentence: as one sentence the two would share a shorter subsequence.
    assert math.isclose(want["rougeLsum"].fmeasure, 5 / 6)


@pytest.mark.parametrize("metric", ALL)
def test_bad_input(metric):
    with pytest.raises(InputError, match="2 targets and 1 predictions"):
        metric(["a", "b"], ["a"])
    with pytest.raises(InputError, match="no predictions"):
        metric([], [])


@pytest.mark.parametrize("metric", [accuracy, exact_match, token_f1, bleu, rouge])
def test_an_example_without_references(metric):
    with pytest.raises(InputError, match="empty list"):
        metric([[]], ["a"])
