"""Metrics with seqio's signature: (targets, predictions) -> {name: value}. All values are percentages, 0 to 100.

Predictions are texts. A target is a text or, where several are right, a list of texts; the best match counts.
"""

import collections
import functools
import math
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flan_jax.errors import InputError

MetricFn = Callable[[Sequence, Sequence], dict[str, float]]


def accuracy(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """Share of predictions that are a target, letter for letter.

    >>> accuracy(["yes", "no"], ["yes", "No"])
    {'accuracy': 50.0}
    """
    return {
        "accuracy": _mean(
            targets, predictions, lambda target, prediction: float(target == prediction)
        )
    }


def exact_match(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """SQuAD's EM: equal but for case, ASCII punctuation, articles and white space (Rajpurkar et al. 2016, section 6.1).

    >>> exact_match(["the U.S.", "rock and roll"], ["US", "rock-and-roll"])
    {'exact_match': 50.0}
    """
    return {
        "exact_match": _mean(
            targets, predictions, lambda t, p: float(_normalized(t) == _normalized(p))
        )
    }


def token_f1(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """SQuAD's F1 of the bags of words, after the same normalisation; 0 where either is empty."""
    return {"f1": _mean(targets, predictions, lambda t, p: _bag_f1(_normalized(t), _normalized(p)))}


def trivia_qa(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """TriviaQA's EM and F1 (Joshi et al. 2017): as SQuAD's, but punctuation, also ‘ ’ ´, becomes a space and does not vanish.

    >>> trivia_qa(["rock n roll", "us"], ["Rock’n’Roll", "U.S."])
    {'exact_match': 50.0, 'f1': 50.0}
    """
    normalized = _trivia_qa_normalized
    return {
        "exact_match": _mean(
            targets, predictions, lambda t, p: float(normalized(t) == normalized(p))
        ),
        "f1": _mean(targets, predictions, lambda t, p: _bag_f1(normalized(t), normalized(p))),
    }


def drop(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """DROP's EM and F1 (Dua et al. 2019, section 5) of answers as one text, as TFDS has them.

    As SQuAD's, but hyphens split words, numbers are compared by value, a word counts once, and an answer that has numbers shares
    nothing with a prediction that has none of them. The F1 of one example is rounded to whole percents, as in the official script.

    >>> drop(["12.0 yards", "12 yards"], ["the 12-yards", "13 yards"])
    {'exact_match': 50.0, 'f1': 50.0}
    """
    normalized = _drop_normalized
    return {
        "exact_match": _mean(
            targets, predictions, lambda t, p: float(normalized(t) == normalized(p))
        ),
        "f1": _mean(
            targets,
            predictions,
            lambda t, p: _drop_f1(set(normalized(t).split()), set(normalized(p).split())),
        ),
    }


def mean_f1(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """F1 of each class that is among the targets, averaged without weights (SuperGLUE's measure for CB)."""
    _check(targets, predictions)
    pairs = list(zip(targets, predictions, strict=True))
    scores = []
    for label in sorted(set(targets)):
        hits = sum(target == prediction == label for target, prediction in pairs)
        scores.append(
            2
            * hits
            / sum((target == label) + (prediction == label) for target, prediction in pairs)
        )
    return {"mean_f1": 100.0 * float(np.mean(scores))}


def yes_f1(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """F1 of the answer "yes" (GLUE's measure for MRPC and QQP); 0 where it is neither right nor given.

    Of MultiRC, whose examples are pairs of a question and one of its answers, it is F1a: the multi-label F1 over all pairs
    (Khashabi et al. 2018).
    """
    _check(targets, predictions)
    hits = sum(
        target == prediction == "yes"
        for target, prediction in zip(targets, predictions, strict=True)
    )
    return {"yes_f1": 200.0 * hits / max(1, [*targets, *predictions].count("yes"))}


def matthews(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """Matthews correlation of two classes (GLUE's measure for CoLA): of the two lists as 0 and 1; 0 where undefined.

    Raises InputError when there are more than two classes.
    """
    _check(targets, predictions)
    classes = sorted({*targets, *predictions})
    if len(classes) > 2:
        raise InputError(
            f"Matthews correlation is for two classes; here are {', '.join(map(repr, classes))}"
        )
    x, y = (
        np.array([float(text == classes[-1]) for text in texts]) for texts in (targets, predictions)
    )
    return {"matthews": 100.0 * _correlation(x, y)}


def edit_similarity(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """100 less the Levenshtein distance in characters as a percentage of the longer text's length."""
    from rapidfuzz.distance import Levenshtein

    return {"edit_similarity": _mean(targets, predictions, Levenshtein.normalized_similarity)}


def pearson_spearman(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """Both correlations of two lists of numbers written as texts (STS-B).

    A prediction that is no number counts as -1, as in T5. 0 where undefined: all predictions or all targets are equal.
    Raises InputError when a target is no number.
    """
    _check(targets, predictions)
    x, y = (np.array([_number(text) for text in texts]) for texts in (targets, predictions))
    if np.isnan(x).any():
        raise InputError(
            f"correlations are of numbers; the target {targets[int(np.isnan(x).argmax())]!r} is none"
        )
    y = np.where(np.isnan(y), -1.0, y)
    return {
        "pearson": 100.0 * _correlation(x, y),
        "spearman": 100.0 * _correlation(_ranks(x), _ranks(y)),
    }


def bleu(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """Corpus BLEU of sacrebleu with T5's settings: the "intl" tokenizer, exponential smoothing, case kept."""
    return {"bleu": bleu_of(bleu_statistics(targets, predictions).sum(axis=0))}


def bleu_statistics(targets: Sequence, predictions: Sequence) -> np.ndarray:
    """[examples, 10] counts whose sum over any examples gives their BLEU (Papineni et al. 2002, section 2.3).

    The lengths of the prediction and of the nearest reference; its n-grams that are right, and all of them, of 1 to 4 tokens.
    """
    _check(targets, predictions)
    scorer = _bleu_scorer()
    scores = [
        scorer.corpus_score([prediction], [[reference] for reference in _listed(target)])
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return np.array(
        [[score.sys_len, score.ref_len, *score.counts, *score.totals] for score in scores], np.int64
    )


def bleu_of(statistics: np.ndarray) -> float:
    """BLEU from the summed statistics [10] of a corpus."""
    predicted, reference, *counts = statistics.tolist()
    return (
        _bleu_scorer()
        .compute_bleu(counts[:4], counts[4:], predicted, reference, smooth_method="exp")
        .score
    )


@functools.cache
def _bleu_scorer() -> Any:
    from sacrebleu.metrics import BLEU  # pyright: ignore  # 0.1 s that only a run which needs it should pay

    return BLEU(smooth_method="exp", tokenize="intl")


def rouge(targets: Sequence, predictions: Sequence) -> dict[str, float]:
    """Mean F-measure of rouge-score's rouge1, rouge2 and rougeLsum; of several references each type's best.

    A sentence ends at " . " or a line break, as in T5.
    """
    from rouge_score.rouge_scorer import RougeScorer  # 1 s: it imports nltk

    _check(targets, predictions)
    kinds = ("rouge1", "rouge2", "rougeLsum")
    scorer = RougeScorer(kinds)
    scores = [
        scorer.score_multi(
            [_sentences(reference) for reference in _listed(target)], _sentences(prediction)
        )
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return {
        kind: 100.0 * float(np.mean([score[kind].fmeasure for score in scores])) for kind in kinds
    }


MEANS: set[MetricFn] = {accuracy, exact_match, token_f1, trivia_qa, drop, edit_similarity, rouge}
"""Metrics of many examples that are the mean of the metric of each. A metric of yours may join them; its scores then have
intervals over examples too."""

_OF_CLASSES = (mean_f1, yes_f1, matthews, pearson_spearman)
_OF_TEXTS = (exact_match, token_f1, trivia_qa, drop, edit_similarity, bleu, rouge)


def check_metrics(metrics: Sequence[MetricFn], options: tuple[str, ...] | str | None) -> None:
    """Raises InputError when one of our metrics cannot score a task with these options (see TemplatedTask.options).

    Metrics of classes are for options that are the same for each example: there are two of them for Matthews correlation, one is
    "yes" for its F1, all are numbers for correlations. Metrics of texts are for answers that are texts, and options that differ by
    example are compared by their position.
    """
    for metric in metrics:
        name = getattr(metric, "__name__", str(metric))
        if metric in _OF_CLASSES and not isinstance(options, tuple):
            raise InputError(
                f"{name} is a metric of fixed options, a tuple; here they are {options!r}. Use another metric"
            )
        if metric in _OF_TEXTS and isinstance(options, str):
            raise InputError(
                f"{name} compares texts, but options that differ by example are chosen by position. Use accuracy"
            )
        if metric is yes_f1 and "yes" not in (options or ()):
            raise InputError(
                f"yes_f1 is the F1 of the answer 'yes', which is none of the options {options!r}"
            )
        if metric in (matthews, pearson_spearman) and options:
            metric(options, options)  # raises what is wrong with these classes


def _mean(targets: Sequence, predictions: Sequence, score: Callable[[str, str], float]) -> float:
    _check(targets, predictions)
    best = [
        max(score(reference, prediction) for reference in _listed(target))
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return 100.0 * float(np.mean(best))


def _check(targets: Sequence, predictions: Sequence) -> None:
    if len(targets) != len(predictions):
        raise InputError(
            f"{len(targets)} targets and {len(predictions)} predictions: there must be one for each"
        )
    if len(targets) == 0:
        raise InputError("there are no predictions to score")


def _listed(target: str | Sequence[str]) -> list[str]:
    listed = [target] if isinstance(target, str) else list(target)
    if not listed:
        raise InputError(
            "a target is an empty list: an example without a right answer cannot be scored"
        )
    return listed


def _normalized(text: str) -> str:
    """The official SQuAD script's normalize_answer."""
    return _without_articles(_without_punctuation(text.lower()))


def _without_punctuation(text: str) -> str:
    return "".join(letter for letter in text if letter not in string.punctuation)


def _trivia_qa_normalized(text: str) -> str:
    """The official TriviaQA script's normalize_answer, by which the dataset's normalised aliases were made."""
    spaced = "".join(" " if letter in _TRIVIA_QA_PUNCTUATION else letter for letter in text.lower())
    return _without_articles(spaced)


_TRIVIA_QA_PUNCTUATION = frozenset(string.punctuation + "\u2018\u2019\u00b4")


def _without_articles(text: str) -> str:
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _bag_f1(target: str, prediction: str) -> float:
    """Of two normalised texts."""
    want, got = target.split(), prediction.split()
    common = sum((collections.Counter(want) & collections.Counter(got)).values())
    return 2 * common / (len(want) + len(got)) if common else 0.0


def _drop_normalized(text: str) -> str:
    """The official DROP script's normalize_answer."""
    tokens = (
        token if _is_number(token) else _without_punctuation(token)
        for token in re.split(" |-", text.lower())
    )
    values = (
        str(float(token)) if _is_number(token) else _without_articles(token) for token in tokens
    )
    return " ".join(filter(None, values))


def _drop_f1(want: set[str], got: set[str]) -> float:
    """Of the words of two normalised texts."""
    numbers = set(filter(_is_number, want))
    if numbers and not numbers & got:
        return 0.0
    return 1.0 if want == got else round(2 * len(want & got) / (len(want) + len(got)), 2)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sentences(text: str) -> str:
    return text.replace(" . ", " .\n")


def _number(text: str) -> float:
    """NaN where it is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / norm if norm > 0 else 0.0
