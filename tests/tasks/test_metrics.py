import dataclasses
import math

import numpy as np
import pytest
import sacrebleu
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from toy_tasks import KIND

from flan_jax.errors import InputError
from flan_jax.tasks import metrics as metrics_module
from flan_jax.tasks.metrics import (
    METRICS,
    Metric,
    accuracy,
    bleu,
    bleu_of,
    bleu_statistics,
    check_metrics,
    drop,
    edit_similarity,
    exact_match,
    find_metric,
    group_exact_match,
    macro_f1,
    macro_recall,
    matthews,
    mean_f1,
    pearson_spearman,
    recompute,
    register_metric,
    rouge,
    rouge_l,
    rouge_l_stemmed,
    rouge_stemmed,
    split_groups,
    sum_statistics,
    token_f1,
    trivia_qa,
    yes_f1,
)
from flan_jax.tasks.templates import FormatTemplate

MEANS = [metric.function for metric in METRICS.values() if metric.mean_of_examples]
ALL = [metric.function for metric in METRICS.values()]
ANSWERS = st.lists(
    st.tuples(st.sampled_from(("no", "yes")), st.sampled_from(("no", "yes"))),
    min_size=1,
)


def test_accuracy():
    assert accuracy(["yes", "no", "no", ["a", "b"]], ["yes", "No", "no", "b"]) == {
        "accuracy": 75.0
    }


@pytest.mark.parametrize(
    ("target", "prediction", "squad", "trivia"),
    [
        ("The Eiffel Tower", "eiffel tower!", True, True),
        ("an apple", "apples", False, False),
        ("an apple", "apple", True, True),
        (
            "the U.S.",
            "US",
            True,
            False,
        ),  # a punctuation mark vanishes, or becomes a space
        ("u s", "U.S.", False, True),
        (
            "rock n roll",
            "Rock\u2019n\u2019Roll",
            False,
            True,
        ),  # not an ASCII mark: SQuAD keeps it
        ("rock-and-roll", "rock and roll", False, True),
        ("rock-and-roll", "rockandroll", True, False),
        ("Barack_Obama", "barack obama", False, True),
        ("`Hello\u00b4 \u2018world", "hello world", False, True),
        ("  much\n\twhite space ", "much white space", True, True),
        ("theatre", "atre", False, False),  # an article is a whole word
        ("the-atre", "atre", False, True),
        ("A", "the", True, True),  # nothing is left of either
        ("caf\u00e9", "cafe", False, False),
        ("1,000", "1000", True, False),
    ],
)
def test_what_the_official_scripts_take_for_equal(target, prediction, squad, trivia):
    """SQuAD's evaluate-v1.1.py and TriviaQA's triviaqa_evaluation.py."""
    assert exact_match([target], [prediction])["exact_match"] == 100 * squad
    assert trivia_qa([target], [prediction])["exact_match"] == 100 * trivia


def test_the_best_of_several_references_counts():
    targets = [["two", "2"], "x"]
    assert exact_match(targets, ["2", "y"]) == {"exact_match": 50.0}
    assert trivia_qa([["guns n roses", "guns"], "x"], ["Guns N' Roses", "x y"]) == {
        "exact_match": 50.0,
        "f1": pytest.approx(100 * (1 + 2 / 3) / 2),
    }


def test_token_f1():
    # "cat sat" and "cat sat down" share two words: precision 2/3, recall 1, F1 0.8.
    assert token_f1(["the cat sat"], ["A cat sat down."])["f1"] == pytest.approx(80.0)
    assert token_f1([["dog", "cat sat"]], ["cat"])["f1"] == pytest.approx(200 / 3)
    assert token_f1(["cat cat"], ["cat"])["f1"] == pytest.approx(200 / 3)
    assert token_f1(["cat"], [""])["f1"] == 0.0


def test_trivia_f1_splits_at_punctuation_where_squads_joins():
    assert trivia_qa(["rock n roll"], ["rock-n-roll music"])["f1"] == pytest.approx(
        100 * 6 / 7
    )
    assert token_f1(["rock n roll"], ["rock-n-roll music"])["f1"] == 0.0


def test_drop_by_hand():
    # a word counts once: {12.0, yards} and {12.0, long, yards} share two of 2 + 3
    assert drop(["12 yards"], ["12.00-yards long, yards"]) == {
        "exact_match": 0.0,
        "f1": 80.0,
    }
    assert drop(["12 yards"], ["13 yards"]) == {"exact_match": 0.0, "f1": 0.0}
    assert drop([["$5.50", "the 5.5"]], ["5.5"]) == {"exact_match": 100.0, "f1": 100.0}
    # 2/3, rounded as the official script does
    assert drop(["yards"], ["12 yards"])["f1"] == 67.0


DROP_TEXTS = st.text(st.sampled_from("a12.5-$ th,en\n"), max_size=12)


@given(DROP_TEXTS, DROP_TEXTS)
def test_drop_is_the_lm_evaluation_harness_copy_of_the_official_script(
    target, prediction
):
    reference = pytest.importorskip("lm_eval.tasks.drop.utils")
    em, f1 = reference.get_metrics([prediction], [target])
    assert drop([target], [prediction]) == {
        "exact_match": 100 * em,
        "f1": pytest.approx(100 * f1),
    }


def test_mean_f1():
    # a: precision 2/3, recall 1 -> 0.8. b: precision 1, recall 1/2 -> 2/3. c: never found.
    targets, predictions = ["a", "a", "b", "b", "c"], ["a", "a", "b", "a", "d"]
    assert mean_f1(targets, predictions)["mean_f1"] == pytest.approx(
        100 * (0.8 + 2 / 3 + 0) / 3
    )


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1)
)
def test_mean_f1_is_scikit_learns_macro_average_over_the_targets_classes(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    targets, predictions = map(list, zip(*pairs, strict=True))
    want = metrics.f1_score(
        targets,
        predictions,
        average="macro",
        labels=sorted(set(targets)),
        zero_division=0,
    )
    assert mean_f1(targets, predictions)["mean_f1"] == pytest.approx(100 * want)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1)
)
def test_macro_f1_and_macro_recall_are_scikit_learns(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    targets, predictions = map(list, zip(*pairs, strict=True))
    f1 = metrics.f1_score(targets, predictions, average="macro", zero_division=0)
    assert macro_f1(targets, predictions) == {"macro_f1": pytest.approx(100 * f1)}

    recall = metrics.recall_score(
        targets, predictions, average="macro", labels=sorted(set(targets))
    )
    assert macro_recall(targets, predictions) == {
        "macro_recall": pytest.approx(100 * recall)
    }


def test_a_class_that_is_only_predicted_lowers_macro_f1_alone():
    targets, predictions = ["a", "a"], ["a", "b"]
    assert mean_f1(targets, predictions) == {"mean_f1": pytest.approx(200 / 3)}
    assert macro_f1(targets, predictions) == {"macro_f1": pytest.approx(100 / 3)}
    assert macro_recall(targets, predictions) == {"macro_recall": 50.0}


@given(ANSWERS)
def test_yes_f1_and_matthews_are_scikit_learns(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    targets, predictions = map(list, zip(*pairs, strict=True))
    f1 = metrics.f1_score(
        targets, predictions, average="binary", pos_label="yes", zero_division=0
    )
    assert yes_f1(targets, predictions)["yes_f1"] == pytest.approx(100 * f1)
    if len({*targets, *predictions}) == 2:
        # scikit-learn has 0 where one list is all alike, too
        want = metrics.matthews_corrcoef(targets, predictions)
        assert matthews(targets, predictions)["matthews"] == pytest.approx(100 * want)


def test_yes_f1_of_questions_with_several_answers_is_the_multi_label_f1():
    """MultiRC's F1a: the matrix of questions x answers, row by row, is one list of yes and no."""
    metrics = pytest.importorskip("sklearn.metrics")
    right, given_ = (
        np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]]),
        np.array([[1, 1, 1], [0, 0, 0], [1, 0, 1]]),
    )
    words = [[("no", "yes")[x] for x in matrix.ravel()] for matrix in (right, given_)]
    want = metrics.f1_score(right, given_, average="micro")
    assert (
        yes_f1(*words)["yes_f1"]
        == pytest.approx(100 * want)
        == pytest.approx(100 * 6 / 10)
    )


def test_matthews_by_hand():
    # 3 true, 2 false positives, 1 false, 4 true negatives: (3 x 4 - 2 x 1) / sqrt(5 x 4 x 6 x 5)
    targets = ["yes"] * 3 + ["no"] * 2 + ["yes"] + ["no"] * 4
    predictions = ["yes"] * 5 + ["no"] * 5
    assert matthews(targets, predictions)["matthews"] == pytest.approx(
        1000 / math.sqrt(600)
    )
    assert matthews(["yes", "no"], ["yes", "yes"]) == {"matthews": 0.0}
    with pytest.raises(InputError, match="for two classes; here are 'a', 'b', 'c'"):
        matthews(["a", "b"], ["a", "c"])


def test_edit_similarity():
    # kitten -> sitting: three edits of seven letters
    assert edit_similarity(["sitting"], ["kitten"])["edit_similarity"] == pytest.approx(
        100 * 4 / 7
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3))
def test_correlations_are_scipys(pairs):
    x, y = ([str(pair[i]) for pair in pairs] for i in (0, 1))
    got = pearson_spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert got == {"pearson": 0.0, "spearman": 0.0}
        return
    numbers = np.array(pairs, float)
    assert got["pearson"] == pytest.approx(
        100 * scipy.stats.pearsonr(*numbers.T).statistic, abs=1e-6
    )
    assert got["spearman"] == pytest.approx(
        100 * scipy.stats.spearmanr(*numbers.T).statistic, abs=1e-6
    )


def test_a_prediction_that_is_no_number_counts_as_minus_one():
    assert pearson_spearman(["0.0", "1.0", "2.0"], ["4", "3", "?"]) == pearson_spearman(
        ["0.0", "1.0", "2.0"], ["4", "3", "-1"]
    )


def test_correlations_are_of_numbers():
    for text in ("warm", "nan", "inf"):
        with pytest.raises(
            InputError,
            match=f"correlations are of numbers; the target '{text}' is none",
        ):
            pearson_spearman(["0", text, "2"], ["0", "1", "2"])
        assert pearson_spearman(["0", "1", "2"], ["0", text, "2"]) == pearson_spearman(
            ["0", "1", "2"], ["0", "-1", "2"]
        )


def test_bleu_is_sacrebleus():
    predictions = ["the cat sat on the mat", "he reads a book (slowly)"]
    lists = [
        ["the cat sat on a mat", "a cat was on the mat"],
        ["he reads the book, slowly"],
    ]
    streams = [
        ["the cat sat on a mat", "he reads the book, slowly"],
        ["a cat was on the mat", None],
    ]
    want = sacrebleu.corpus_bleu(predictions, streams, tokenize="intl").score
    assert 10 < want < 90
    assert bleu(lists, predictions)["bleu"] == pytest.approx(want)
    assert bleu(["a b c d e"], ["a b c d e"])["bleu"] == pytest.approx(100)
    assert bleu(["a b c d e"], ["A B C D E"])["bleu"] < 50


SENTENCES = st.lists(
    st.sampled_from(["the", "cat", "sat", "on", "a", "mat", ",", "It's", "\u00dcber"]),
    max_size=9,
).map(" ".join)


@given(
    st.lists(
        st.tuples(st.lists(SENTENCES, min_size=1, max_size=2), SENTENCES),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_bleu_of_summed_statistics_is_that_of_the_corpus(pairs, data):
    targets, predictions = map(list, zip(*pairs, strict=True))
    drawn = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=8))
    columns = [
        [targets[i][n] if n < len(targets[i]) else None for i in drawn] for n in (0, 1)
    ]
    want = sacrebleu.corpus_bleu(
        [predictions[i] for i in drawn], columns, tokenize="intl"
    ).score
    assert bleu_of(
        bleu_statistics(targets, predictions)[drawn].sum(axis=0)
    ) == pytest.approx(want)


@pytest.mark.parametrize("metric", MEANS)
def test_the_mean_of_many_is_that_of_each(metric):
    targets, predictions = (
        ["the cat sat", ["a dog", "the dog ran"], "x"],
        ["a cat sat", "dog ran . far", ""],
    )
    each = [
        metric([target], [prediction])
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    assert metric(targets, predictions) == {
        name: pytest.approx(np.mean([scores[name] for scores in each]))
        for name in each[0]
    }


def test_rouge_is_rouge_scores():
    reference, other = "the cat sat . a dog ran", "something else"
    prediction = "a dog ran . the cat slept"
    want = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeLsum"]).score(
        "the cat sat .\na dog ran", "a dog ran .\nthe cat slept"
    )
    got = rouge([[other, reference], "x y"], [prediction, "x y"])
    perfect = {"rouge1": 1.0, "rouge2": 1.0, "rougeLsum": 1.0}
    assert got == {
        kind: pytest.approx(50 * (want[kind].fmeasure + perfect[kind]))
        for kind in perfect
    }
    # Sentence by sentence: as one sentence the two would share a shorter subsequence.
    assert math.isclose(want["rougeLsum"].fmeasure, 5 / 6)


def test_rouge_l_is_the_longest_common_subsequence_of_all_words():
    # Five of six words are common, in this order. Where sentences end does not count.
    target, prediction = "the dog ran . a cat slept", "dog ran .\na cat slept here"
    assert rouge_l([target], [prediction]) == {"rougeL": pytest.approx(100 * 5 / 6)}


def test_stemming_finds_other_forms_of_a_word():
    target, prediction = "two cats were sleeping", "two cat was sleeps"
    assert rouge_l([target], [prediction]) == {"rougeL": 25.0}
    assert rouge_l_stemmed([target], [prediction]) == {"rougeL_stemmed": 75.0}

    want = rouge_scorer.RougeScorer(
        ["rouge1", "rouge2", "rougeLsum"], use_stemmer=True
    ).score(target, prediction)
    got = rouge_stemmed([target], [prediction])
    assert got == {
        f"{kind}_stemmed": pytest.approx(100 * score.fmeasure)
        for kind, score in want.items()
    }
    assert got["rouge1_stemmed"] == 75.0 > rouge([target], [prediction])["rouge1"]


@pytest.mark.parametrize("metric", ALL)
def test_bad_input(metric):
    with pytest.raises(InputError, match="2 targets and 1 predictions"):
        metric(["a", "b"], ["a"])
    with pytest.raises(InputError, match="no predictions"):
        metric([], [])


@pytest.mark.parametrize("metric", [*MEANS, bleu])
def test_an_example_without_references(metric):
    with pytest.raises(InputError, match="empty list"):
        metric([[]], ["a"])


@pytest.mark.parametrize(
    ("metric", "options", "match"),
    [
        (
            matthews,
            ("a", "b", "c"),
            "toy_kind.*for two classes; here are 'a', 'b', 'c'",
        ),
        (
            matthews,
            None,
            "matthews is a metric of fixed options, a tuple; here they are None",
        ),
        (
            mean_f1,
            "choices",
            "mean_f1 is a metric of fixed options, a tuple; here they are 'choices'",
        ),
        (yes_f1, ("True", "False"), "the answer 'yes', which is none of the options"),
        (pearson_spearman, ("cold", "1"), "the target 'cold' is none"),
        (
            bleu,
            "choices",
            "options that differ by example are chosen by position. Use accuracy",
        ),
    ],
)
def test_a_metric_that_cannot_score_the_task_is_refused_when_the_task_is_made(
    metric, options, match
):
    plain = (FormatTemplate("{animal}?"),)
    with pytest.raises(InputError, match=match):
        dataclasses.replace(
            KIND, options=options, templates=plain, metrics=(accuracy, metric)
        )
    fitting = {bleu: None, pearson_spearman: ("0", "1", "2")}.get(metric, ("no", "yes"))
    dataclasses.replace(
        KIND, options=fitting, templates=plain, metrics=(accuracy, metric)
    )


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(metrics_module, "METRICS", dict(METRICS))


def word_count(targets, predictions):
    return {"word_count": float(sum(len(text.split()) for text in predictions))}


def test_all_metrics_have_intervals_over_examples():
    assert {metric.name for metric in METRICS.values() if metric.mean_of_groups} == {
        "group_exact_match"
    }
    assert {metric.name for metric in METRICS.values() if metric.resample} == {
        "bleu",
        "macro_f1",
        "macro_recall",
        "matthews",
        "mean_f1",
        "pearson_spearman",
        "yes_f1",
    }
    for metric in METRICS.values():
        is_mean = metric.mean_of_examples or metric.mean_of_groups
        assert is_mean == (metric.resample is None)


@pytest.mark.parametrize(
    "name", [metric.name for metric in METRICS.values() if metric.resample]
)
def test_the_value_on_resampled_examples(name):
    metric = METRICS[name]
    targets, predictions = ["1", "0", "1", "yes"], ["1", "1", "0", "yes"]
    if name == "pearson_spearman":
        targets, predictions = ["1", "3", "2", "5"], ["1", "2", "3", "4"]
    if name == "matthews":
        targets, predictions = ["no", "yes", "yes", "no"], ["no", "yes", "no", "no"]
    value = metric.resample(targets, predictions)
    for indices in ([0, 1, 2, 3], [3, 3, 1, 0]):
        drawn = [targets[i] for i in indices], [predictions[i] for i in indices]
        want = next(iter(metric.function(*drawn).values()))
        assert value(np.array(indices)) == pytest.approx(want)


def test_a_registered_metric_is_found_by_its_function(registry):
    assert find_metric(word_count) == Metric(function=word_count)
    assert register_metric(word_count, resample=recompute(word_count)) is word_count
    metric = find_metric(word_count)
    assert metric.name == "word_count"
    assert metric.resample(["", ""], ["a b", "c"])(np.array([0, 0, 1])) == 5.0


def test_a_function_that_is_named_as_a_registered_metric_is_another():
    def accuracy(targets, predictions):
        return {"accuracy": 0.0}

    assert find_metric(accuracy) == Metric(function=accuracy)


def test_the_options_that_a_metric_can_score(registry):
    def refused(options):
        names = set()
        for name, metric in METRICS.items():
            try:
                check_metrics((metric.function,), options, group="question")
            except InputError:
                names.add(name)
        return names

    of_texts = {"exact_match", "token_f1", "trivia_qa", "drop"}
    of_texts |= {"edit_similarity", "rouge", "bleu"}
    of_texts |= {"rouge_l", "rouge_l_stemmed", "rouge_stemmed"}
    of_options = {"mean_f1", "yes_f1", "matthews", "pearson_spearman"}
    of_options |= {"macro_f1", "macro_recall"}
    assert refused(None) == of_options
    assert refused("choices") == of_options | of_texts
    assert refused(("no", "yes")) == {"pearson_spearman"}

    register_metric(word_count, check_options=len)
    check_metrics((word_count,), None)


def test_summed_statistics(registry):
    def lengths(targets, predictions):
        return np.array([[len(text), 1] for text in predictions])

    resample = sum_statistics(lengths, lambda sums: float(sums[0] / sums[1]))
    assert resample(["", ""], ["abcd", "a"])(np.array([0, 0, 1])) == 3.0


def test_a_metric_with_two_intervals_is_refused(registry):
    with pytest.raises(
        InputError, match="'word_count' is a mean of examples and has a resample"
    ):
        register_metric(
            word_count, mean_of_examples=True, resample=recompute(word_count)
        )


@pytest.mark.parametrize("other", ["mean_of_examples", "resample"])
def test_a_metric_of_groups_with_another_interval_is_refused(registry, other):
    interval = True if other == "mean_of_examples" else recompute(word_count)
    with pytest.raises(InputError, match="is a mean of groups.* in 2 ways. Give one"):
        register_metric(word_count, mean_of_groups=True, **{other: interval})


def test_two_metrics_of_one_name_are_refused(registry):
    register_metric(word_count)
    with pytest.raises(InputError, match="two metrics are named 'word_count'"):
        register_metric(word_count, mean_of_examples=True)


def test_constant_and_extreme_numbers_have_finite_correlations(recwarn):
    constant = pearson_spearman(["0.1", "0.1", "0.1"], ["1", "2", "3"])
    assert constant == {"pearson": 0.0, "spearman": 0.0}
    assert pearson_spearman(["1", "2", "3"], ["0.1", "0.1", "0.1"]) == constant
    beyond = pearson_spearman(["1", "2", "3"], ["1.7e308", "1.7e308", "-1.7e308"])
    assert beyond["pearson"] == 0.0
    assert beyond["spearman"] < 0
    extreme = pearson_spearman(["1", "2", "3"], ["-1e308", "0", "1e308"])
    assert extreme["spearman"] == pytest.approx(100.0)
    assert math.isfinite(extreme["pearson"])
    assert not recwarn


def grouped(*rows):
    """(targets, predictions) of a metric of groups, from (group, target, prediction)."""
    targets = [{"group": group, "value": target} for group, target, _ in rows]
    return targets, [{"value": text} for _, _, text in rows]


def test_a_group_matches_if_all_of_its_rows_do():
    rows = grouped(
        ("a", "yes", "yes"),
        ("b", "no", "yes"),
        ("a", "no", "no"),
        ("c", ["2", "two"], "two"),
        ("b", "no", "no"),
        (7, "x", "X"),
    )
    assert group_exact_match(*rows) == {"group_exact_match": 50.0}
    assert split_groups(*rows) == {
        "a": (["yes", "no"], ["yes", "no"]),
        "b": (["no", "no"], ["yes", "no"]),
        "c": ([["2", "two"]], ["two"]),
        7: (["x"], ["X"]),
    }


@given(ANSWERS, st.data())
def test_the_match_of_groups_is_t5s(pairs, data):
    """T5's mean_group_metric(all_match): the mean over groups of whether the lists are equal."""
    groups = [data.draw(st.integers(0, 3)) for _ in pairs]
    rows = [(group, *pair) for group, pair in zip(groups, pairs, strict=True)]
    matches = []
    for group in set(groups):
        targets = [target for name, target, _ in rows if name == group]
        predictions = [text for name, _, text in rows if name == group]
        matches.append(np.array_equal(targets, predictions))
    expected = 100 * np.mean(matches)
    assert group_exact_match(*grouped(*rows))["group_exact_match"] == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    ("target", "prediction", "match"),
    [
        ("yes", {"value": "yes"}, "a target of a metric of groups is .* not 'yes'"),
        ({"value": "yes"}, {"value": "yes"}, "{'group': ..., 'value': ...}, not"),
        ({"group": 1, "value": "yes"}, "yes", "a prediction .* {'value': ...}, not"),
        (
            {"group": [1], "value": "x"},
            {"value": "x"},
            r"group \[1\] .*unhashable type",
        ),
        ({"group": (0, [1]), "value": "x"}, {"value": "x"}, "unhashable.*Write a text"),
    ],
)
def test_what_is_not_of_a_group(target, prediction, match):
    with pytest.raises(InputError, match=match):
        group_exact_match([target], [prediction])


def test_a_metric_of_groups_needs_a_task_with_groups():
    with pytest.raises(
        InputError, match="'toy_kind': group_exact_match .*Set TemplatedTask.group"
    ):
        dataclasses.replace(KIND, metrics=(accuracy, group_exact_match))


def test_a_metric_that_takes_other_arguments_is_refused(registry):
    def mine(targets):
        return {"mine": 0.0}

    with pytest.raises(
        InputError, match=r"metric 'mine' .* \(targets, predictions\), but"
    ):
        register_metric(mine)
    with pytest.raises(InputError, match="resample will be called with"):
        register_metric(accuracy, resample=lambda targets: mine)
    with pytest.raises(InputError, match="check_options will be called with"):
        register_metric(accuracy, check_options=lambda: None)
