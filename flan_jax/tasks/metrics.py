"""Metrics with seqio's signature: (targets, predictions) -> {name: value}.

All values are percentages, 0 to 100. Predictions are texts. A target is a text or, where several
answers are right, a list of texts; the best match counts.

A metric of groups scores the examples of a group together, for example all answers to a question.
It has the signature of T5's `mean_group_metric`: a target is {"group": its group, "value": what
other metrics have as the target}, and a prediction is {"value": text}.

METRICS holds what evaluation must know of a metric beside its function: how its confidence
interval over examples is computed, and which tasks it can score. Add one with `register_metric`.
"""

import collections
import dataclasses
import functools
import math
import re
import string
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from flan_jax.errors import InputError, add_to_registry, check_call

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU  # pyright: ignore

Scores: TypeAlias = dict[str, float]
MetricFn: TypeAlias = Callable[[Sequence, Sequence], Scores]

Resample: TypeAlias = Callable[[Sequence, Sequence], Callable[[np.ndarray], float]]
"""(targets, predictions) -> a function from indices of examples, some of them repeated, to the
metric's first value on these examples."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric with its confidence interval and the tasks that it can score.

    Attributes:
      function: computes the metric. Its first value is the one that is reported with an interval.
      mean_of_examples: whether the value of many examples is the mean of the value of each.
      mean_of_groups: whether it is a metric of groups, whose value on many groups is the mean of
        the value on each. It is for tasks with TemplatedTask.group. Its interval is over groups.
      resample: for a metric of a whole set, gives its value on resampled examples. A metric with
        none of the three has an interval over templates alone.
      answers: "texts" if it compares texts, so that it cannot score options that differ by example;
        "fixed_options" if it needs the same options for all examples; "any" otherwise.
      check_options: raises InputError for fixed options that the metric cannot score.
    """

    function: MetricFn
    mean_of_examples: bool = False
    mean_of_groups: bool = False
    resample: Resample | None = None
    answers: Literal["any", "texts", "fixed_options"] = "any"
    check_options: Callable[[tuple[str, ...]], object] | None = None

    def __post_init__(self):
        intervals = {
            "is a mean of examples": self.mean_of_examples,
            "is a mean of groups": self.mean_of_groups,
            "has a resample function": self.resample is not None,
        }
        given = [name for name, is_given in intervals.items() if is_given]
        if len(given) > 1:
            raise InputError(
                f"metric {self.name!r} {' and '.join(given)}: its interval would be computed in "
                f"{len(given)} ways. Give one of them"
            )
        name = f"metric {self.name!r}"
        sequences = ["targets", "predictions"]
        check_call(self.function, name, sequences)
        if self.resample is not None:
            check_call(self.resample, f"{name}: resample", sequences)
        if self.check_options is not None:
            check_call(self.check_options, f"{name}: check_options", ["options"])

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__name__", str(self.function))


METRICS: dict[str, Metric] = {}
"""The registered metrics, by the names of their functions."""


def register_metric(
    function: MetricFn,
    *,
    mean_of_examples: bool = False,
    mean_of_groups: bool = False,
    resample: Resample | None = None,
    answers: Literal["any", "texts", "fixed_options"] = "any",
    check_options: Callable[[tuple[str, ...]], object] | None = None,
) -> MetricFn:
    """Registers a metric, so that its scores have confidence intervals over examples.

    >>> register_metric(word_overlap, mean_of_examples=True)
    >>> register_metric(macro_f1, resample=recompute(macro_f1), answers="fixed_options")
    >>> register_metric(chrf, resample=sum_statistics(chrf_statistics, chrf_of))
    >>> register_metric(f1_by_question, mean_of_groups=True)

    Args:
      function: (targets, predictions) -> {name: value}.
      mean_of_examples: see Metric, as for the other arguments.
      mean_of_groups: see Metric.
      resample: see Metric; `recompute` and `sum_statistics` make one.
      answers: see Metric.
      check_options: see Metric.

    Returns:
      The function.

    Raises:
      InputError: another metric has this name.
    """
    metric = Metric(
        function=function,
        mean_of_examples=mean_of_examples,
        mean_of_groups=mean_of_groups,
        resample=resample,
        answers=answers,
        check_options=check_options,
    )
    add_to_registry(METRICS, "metric", metric.name, metric)
    return function


def find_metric(function: MetricFn) -> Metric:
    """Returns the registered metric of a function; one without an interval if there is none."""
    for metric in METRICS.values():
        if metric.function == function:
            return metric
    return Metric(function=function)


def recompute(function: MetricFn) -> Resample:
    """Returns a resample function that recomputes the metric; for metrics that are cheap.

    Args:
      function: the metric; evaluation calls it some hundred times for each template.
    """

    def resample(
        targets: Sequence, predictions: Sequence
    ) -> Callable[[np.ndarray], float]:
        def value(indices: np.ndarray) -> float:
            scores = function(
                [targets[i] for i in indices], [predictions[i] for i in indices]
            )
            return next(iter(scores.values()))

        return value

    return resample


def sum_statistics(
    statistics: Callable[[Sequence, Sequence], np.ndarray],
    value: Callable[[np.ndarray], float],
) -> Resample:
    """Returns a resample function for a metric that depends on sums over examples, such as BLEU.

    Args:
      statistics: (targets, predictions) -> [examples, n] numbers that may be added up.
      value: the metric's value from summed statistics [n].
    """

    def resample(
        targets: Sequence, predictions: Sequence
    ) -> Callable[[np.ndarray], float]:
        rows = statistics(targets, predictions)
        return lambda indices: value(rows[indices].sum(axis=0))

    return resample


def check_metrics(
    metrics: Sequence[MetricFn],
    options: tuple[str, ...] | str | None,
    group: str | None = None,
) -> None:
    """Checks that metrics can score a task.

    Args:
      metrics: the task's metrics.
      options: the task's options, see TemplatedTask.options.
      group: the field that names the group of a row, see TemplatedTask.group.

    Raises:
      InputError: there is no metric, or one cannot score a task with these options, or without
        groups.
    """
    if not metrics:
        raise InputError(
            "metrics is empty, so that nothing could be scored; leave it out for accuracy"
        )
    for metric in map(find_metric, metrics):
        if metric.mean_of_groups and group is None:
            raise InputError(
                f"{metric.name} scores groups of rows, but the task does not say which rows belong "
                "together. Set TemplatedTask.group to the field that names a row's group, or use "
                "accuracy"
            )
        if metric.answers == "fixed_options" and not isinstance(options, tuple):
            raise InputError(
                f"{metric.name} is a metric of fixed options, a tuple; here they are {options!r}. "
                "Use another metric"
            )
        if metric.answers == "texts" and isinstance(options, str):
            raise InputError(
                f"{metric.name} compares texts, but options that differ by example are chosen by "
                "position. Use accuracy"
            )
        if metric.check_options is not None and isinstance(options, tuple):
            metric.check_options(options)


def accuracy(targets: Sequence, predictions: Sequence) -> Scores:
    """Returns the share of predictions that equal a target exactly.

    >>> accuracy(["yes", "no"], ["yes", "No"])
    {'accuracy': 50.0}
    """
    return {"accuracy": _mean(targets, predictions, lambda t, p: float(t == p))}


def exact_match(targets: Sequence, predictions: Sequence) -> Scores:
    """SQuAD's exact match (Rajpurkar et al. 2016, section 6.1).

    Case, ASCII punctuation, articles and white space do not count.

    >>> exact_match(["the U.S.", "rock and roll"], ["US", "rock-and-roll"])
    {'exact_match': 50.0}

    Args:
      targets: one text for each example, or a sequence of equally good ones.
      predictions: one text for each example.

    Returns:
      {"exact_match": mean in percent}.
    """

    def score(target: str, prediction: str) -> float:
        return float(_normalize(target) == _normalize(prediction))

    return {"exact_match": _mean(targets, predictions, score)}


def token_f1(targets: Sequence, predictions: Sequence) -> Scores:
    """SQuAD's F1 of the bags of words (Rajpurkar et al. 2016, section 6.1).

    Texts are normalized as for `exact_match`. The F1 is 0 where either text is empty.

    Args:
      targets: one text for each example, or a sequence of equally good ones.
      predictions: one text for each example.

    Returns:
      {"f1": mean in percent}.
    """

    def score(target: str, prediction: str) -> float:
        return _bag_f1(_normalize(target), _normalize(prediction))

    return {"f1": _mean(targets, predictions, score)}


def trivia_qa(targets: Sequence, predictions: Sequence) -> Scores:
    """TriviaQA's exact match and F1 (Joshi et al. 2017).

    They differ from SQuAD's in that punctuation, including ‘ ’ ´, becomes a space.

    >>> trivia_qa(["rock n roll", "us"], ["Rock’n’Roll", "U.S."])
    {'exact_match': 50.0, 'f1': 50.0}

    Args:
      targets: one text for each example, or a sequence of equally good ones.
      predictions: one text for each example.

    Returns:
      {"exact_match": mean in percent, "f1": mean in percent}.
    """

    def match(target: str, prediction: str) -> float:
        return float(_normalize_trivia_qa(target) == _normalize_trivia_qa(prediction))

    def f1(target: str, prediction: str) -> float:
        return _bag_f1(_normalize_trivia_qa(target), _normalize_trivia_qa(prediction))

    return {
        "exact_match": _mean(targets, predictions, match),
        "f1": _mean(targets, predictions, f1),
    }


def drop(targets: Sequence, predictions: Sequence) -> Scores:
    """DROP's exact match and F1 (Dua et al. 2019, section 5).

    An answer is one text, as in TFDS. The metrics differ from SQuAD's: hyphens split words, numbers
    are compared by value, repeated words count once, and a target with numbers shares nothing with
    a prediction that has none of them. As in the official script, the F1 of one example is rounded
    to a whole percentage.

    >>> drop(["12.0 yards", "12 yards"], ["the 12-yards", "13 yards"])
    {'exact_match': 50.0, 'f1': 50.0}

    Args:
      targets: one text for each example, or a sequence of equally good ones.
      predictions: one text for each example.

    Returns:
      {"exact_match": mean in percent, "f1": mean in percent}.
    """

    def match(target: str, prediction: str) -> float:
        return float(_normalize_drop(target) == _normalize_drop(prediction))

    def f1(target: str, prediction: str) -> float:
        target_words = set(_normalize_drop(target).split())
        predicted_words = set(_normalize_drop(prediction).split())
        return _drop_f1(target_words, predicted_words)

    return {
        "exact_match": _mean(targets, predictions, match),
        "f1": _mean(targets, predictions, f1),
    }


def mean_f1(targets: Sequence, predictions: Sequence) -> Scores:
    """Unweighted mean of the F1 of each class among the targets (SuperGLUE's metric for CB).

    Args:
      targets: the class of each example.
      predictions: the predicted class of each example.

    Returns:
      {"mean_f1": mean in percent}.
    """
    _check_lengths(targets, predictions)
    classes = sorted(set(targets))
    f1_by_class = [_class_f1(targets, predictions, label) for label in classes]
    return {"mean_f1": 100.0 * float(np.mean(f1_by_class))}


def macro_f1(targets: Sequence, predictions: Sequence) -> Scores:
    """Unweighted mean of the F1 of each class among the targets or the predictions.

    It is scikit-learn's f1_score with average="macro". A class that is only predicted has an F1 of
    0, which `mean_f1` leaves out.

    >>> macro_f1(["a", "a"], ["a", "b"]), mean_f1(["a", "a"], ["a", "b"])
    ({'macro_f1': 33.33...}, {'mean_f1': 66.66...})

    Args:
      targets: the class of each example.
      predictions: the predicted class of each example.

    Returns:
      {"macro_f1": mean in percent}.
    """
    _check_lengths(targets, predictions)
    classes = sorted({*targets, *predictions})
    f1_by_class = [_class_f1(targets, predictions, label) for label in classes]
    return {"macro_f1": 100.0 * float(np.mean(f1_by_class))}


def macro_recall(targets: Sequence, predictions: Sequence) -> Scores:
    """Unweighted mean of the recall of each class among the targets.

    It is SemEval's average recall (Rosenthal et al. 2017, section 4.1), also called balanced
    accuracy.

    >>> macro_recall(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    {'macro_recall': 83.33...}

    Args:
      targets: the class of each example.
      predictions: the predicted class of each example.

    Returns:
      {"macro_recall": mean in percent}.
    """
    pairs = _pairs(targets, predictions)
    recalls = []
    for label in sorted(set(targets)):
        of_class = [prediction for target, prediction in pairs if target == label]
        recalls.append(of_class.count(label) / len(of_class))
    return {"macro_recall": 100.0 * float(np.mean(recalls))}


def yes_f1(targets: Sequence, predictions: Sequence) -> Scores:
    """F1 of the answer "yes" (GLUE's metric for MRPC and QQP).

    It is 0 if no target and no prediction is "yes".

    For MultiRC, whose examples are pairs of a question and one of its answers, it is F1a: the
    multi-label F1 over all pairs (Khashabi et al. 2018).

    Args:
      targets: the class of each example.
      predictions: the predicted class of each example.

    Returns:
      {"yes_f1": the F1 in percent}.
    """
    pairs = _pairs(targets, predictions)
    hits = sum(target == prediction == "yes" for target, prediction in pairs)
    mentions = [*targets, *predictions].count("yes")
    return {"yes_f1": 200.0 * hits / max(1, mentions)}


def matthews(targets: Sequence, predictions: Sequence) -> Scores:
    """Matthews correlation of two classes (GLUE's metric for CoLA); 0 where it is undefined.

    Args:
      targets: the class of each example.
      predictions: the predicted class of each example.

    Returns:
      {"matthews": 100 times the correlation}.

    Raises:
      InputError: there are more than two classes.
    """
    _check_lengths(targets, predictions)
    classes = _check_two_classes([*targets, *predictions])
    x = np.array([float(text == classes[-1]) for text in targets])
    y = np.array([float(text == classes[-1]) for text in predictions])
    return {"matthews": 100.0 * _correlation(x, y)}


def group_exact_match(targets: Sequence, predictions: Sequence) -> Scores:
    """Share of the groups whose predictions all equal their target exactly.

    For MultiRC, whose groups are the answers to one question, it is SuperGLUE's EM (Wang et al.
    2019, section 3.2), beside F1a, which is `yes_f1`. It is T5's mean_group_metric(all_match).

    >>> group_exact_match(
    ...     [{"group": 1, "value": "a"}, {"group": 1, "value": "b"}, {"group": 2, "value": "b"}],
    ...     [{"value": "a"}, {"value": "a"}, {"value": "b"}])
    {'group_exact_match': 50.0}

    Args:
      targets: {"group": group, "value": a text or a sequence of equally good ones} for each
        example; the examples of a group may lie apart.
      predictions: {"value": text} for each example.

    Returns:
      {"group_exact_match": mean over the groups in percent}.
    """
    is_right = []
    for group in split_groups(targets, predictions).values():
        is_right.append(accuracy(*group)["accuracy"] == 100.0)
    return {"group_exact_match": 100.0 * float(np.mean(is_right))}


def split_groups(
    targets: Sequence, predictions: Sequence
) -> dict[Hashable, tuple[list, list[str]]]:
    """Splits the arguments of a metric of groups by group.

    >>> split_groups(
    ...     [{"group": "a", "value": "yes"}, {"group": "b", "value": "no"}],
    ...     [{"value": "yes"}, {"value": "yes"}])
    {'a': (['yes'], ['yes']), 'b': (['no'], ['yes'])}

    Args:
      targets: {"group": group, "value": target} for each example.
      predictions: {"value": text} for each example.

    Returns:
      {group: (targets, predictions) as other metrics have them}, in the order of the first example
      of each group.

    Raises:
      InputError: targets or predictions are not of this form, or a group is not hashable.
    """
    groups: dict[Hashable, tuple[list, list[str]]] = {}
    for target, prediction in _pairs(targets, predictions):
        _check_group_keys("target", target, ("group", "value"))
        _check_group_keys("prediction", prediction, ("value",))
        name = target["group"]
        try:
            hash(name)
        except TypeError as error:
            raise InputError(
                f"the group {name!r} is no key to group examples by ({error}). Write a text or a "
                "number"
            ) from None
        values, texts = groups.setdefault(name, ([], []))
        values.append(target["value"])
        texts.append(prediction["value"])
    return groups


def edit_similarity(targets: Sequence, predictions: Sequence) -> Scores:
    """100 minus the Levenshtein distance in percent of the longer text's length, in characters."""
    from rapidfuzz.distance import Levenshtein

    return {
        "edit_similarity": _mean(
            targets, predictions, Levenshtein.normalized_similarity
        )
    }


def pearson_spearman(targets: Sequence, predictions: Sequence) -> Scores:
    """Both correlations of two lists of numbers written as texts (STS-B).

    A prediction that is not a number counts as -1, as in T5. Both are 0 where they are undefined,
    because all predictions or all targets are equal.

    Args:
      targets: a number as text for each example.
      predictions: a text for each example.

    Returns:
      {"pearson": 100 times the correlation, "spearman": 100 times the rank correlation}.

    Raises:
      InputError: a target is not a number.
    """
    from scipy.stats import rankdata  # takes a second to import

    _check_lengths(targets, predictions)
    x = _target_numbers(targets)
    y = np.array([_number(text) for text in predictions])
    y = np.where(np.isnan(y), -1.0, y)
    return {
        "pearson": 100.0 * _correlation(x, y),
        "spearman": 100.0 * _correlation(rankdata(x), rankdata(y)),
    }


def bleu(targets: Sequence, predictions: Sequence) -> Scores:
    """Corpus BLEU of sacrebleu with T5's settings.

    They are the tokenizer "intl", exponential smoothing, and case-sensitive comparison.
    """
    return {"bleu": bleu_of(bleu_statistics(targets, predictions).sum(axis=0))}


def bleu_statistics(targets: Sequence, predictions: Sequence) -> np.ndarray:
    """Returns counts whose sum over any examples gives their BLEU.

    The formula is in Papineni et al. 2002, section 2.3.

    Args:
      targets: for each example a reference or a list of references.
      predictions: for each example a text.

    Returns:
      [examples, 10] int64: the lengths of the prediction and of the nearest reference, the number
      of matching n-grams of 1 to 4 tokens, and the number of all n-grams of 1 to 4 tokens.
    """
    scorer = _bleu_scorer()
    rows = []
    for target, prediction in _pairs(targets, predictions):
        references = [[reference] for reference in _references(target)]
        score = scorer.corpus_score([prediction], references)
        rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(rows, np.int64)


def bleu_of(statistics: np.ndarray) -> float:
    """Returns the BLEU of a corpus.

    Args:
      statistics: [10] sums over the corpus of the rows of `bleu_statistics`.
    """
    predicted_length, reference_length, *counts = statistics.tolist()
    score = _bleu_scorer().compute_bleu(
        counts[:4], counts[4:], predicted_length, reference_length, smooth_method="exp"
    )
    return score.score


@functools.cache
def _bleu_scorer() -> "BLEU":
    from sacrebleu.metrics import BLEU  # pyright: ignore  # takes 0.1 s to import

    return BLEU(tokenize="intl")


def rouge(targets: Sequence, predictions: Sequence) -> Scores:
    """Mean F-measure of rouge-score's rouge1, rouge2 and rougeLsum, without stemming.

    Where there are several references, each of the three takes its best one. A sentence ends at
    " . " or a line break, as in T5.

    Args:
      targets: one reference for each example, or a sequence of them.
      predictions: one text for each example.

    Returns:
      {"rouge1": mean in percent, "rouge2": ..., "rougeLsum": ...}.
    """
    return _rouge(targets, predictions, ROUGE_KINDS, stem=False)


def rouge_stemmed(targets: Sequence, predictions: Sequence) -> Scores:
    """The same as `rouge`, of words without their endings (Porter's stemmer).

    >>> rouge_stemmed(["two cats slept"], ["two cat sleeps"])["rouge1"]
    66.66...

    Args:
      targets: as of `rouge`.
      predictions: as of `rouge`.

    Returns:
      As `rouge`, with names that end in "_stemmed".
    """
    return _rouge(targets, predictions, ROUGE_KINDS, stem=True)


def rouge_l(targets: Sequence, predictions: Sequence) -> Scores:
    """Mean F-measure of the longest common subsequence of words (Lin 2004, section 3.1).

    Line breaks have no meaning for it, unlike for rougeLsum. Words are not stemmed.

    Args:
      targets: as of `rouge`.
      predictions: as of `rouge`.

    Returns:
      {"rougeL": mean in percent}.
    """
    return _rouge(targets, predictions, ["rougeL"], stem=False)


def rouge_l_stemmed(targets: Sequence, predictions: Sequence) -> Scores:
    """The same as `rouge_l`, of words without their endings (Porter's stemmer).

    Args:
      targets: as of `rouge`.
      predictions: as of `rouge`.

    Returns:
      {"rougeL_stemmed": mean in percent}.
    """
    return _rouge(targets, predictions, ["rougeL"], stem=True)


ROUGE_KINDS = ("rouge1", "rouge2", "rougeLsum")


def _rouge(
    targets: Sequence, predictions: Sequence, kinds: Sequence[str], *, stem: bool
) -> Scores:
    """Returns the mean F-measure of each kind in percent; see `rouge`."""
    from rouge_score.rouge_scorer import (
        RougeScorer,  # takes 1 s to import, because of nltk
    )

    scorer = RougeScorer(kinds, use_stemmer=stem)
    scores = []
    for target, prediction in _pairs(targets, predictions):
        references = [_sentences(reference) for reference in _references(target)]
        scores.append(scorer.score_multi(references, _sentences(prediction)))
    means = {}
    for kind in kinds:
        name = f"{kind}_stemmed" if stem else kind
        means[name] = 100.0 * float(np.mean([score[kind].fmeasure for score in scores]))
    return means


def _mean(
    targets: Sequence, predictions: Sequence, score: Callable[[str, str], float]
) -> float:
    """Returns 100 times the mean over examples of the best score(reference, prediction)."""
    best = []
    for target, prediction in _pairs(targets, predictions):
        scores = [score(reference, prediction) for reference in _references(target)]
        best.append(max(scores))
    return 100.0 * float(np.mean(best))


def _check_lengths(targets: Sequence, predictions: Sequence) -> None:
    if len(targets) != len(predictions):
        raise InputError(
            f"{len(targets)} targets and {len(predictions)} predictions: give one prediction for "
            "each target"
        )
    if len(targets) == 0:
        raise InputError("there are no predictions to score")


def _check_group_keys(side: str, value: object, keys: tuple[str, ...]) -> None:
    if isinstance(value, Mapping) and all(key in value for key in keys):
        return
    form = ", ".join(f"{key!r}: ..." for key in keys)
    raise InputError(
        f"a {side} of a metric of groups is {{{form}}}, not {value!r}. Register the metric with "
        "mean_of_groups=True, and set TemplatedTask.group"
    )


def _pairs(targets: Sequence, predictions: Sequence) -> list[tuple]:
    """Returns [(target, prediction), ...]."""
    _check_lengths(targets, predictions)
    return list(zip(targets, predictions, strict=True))


def _references(target: str | Sequence[str]) -> list[str]:
    references = [target] if isinstance(target, str) else list(target)
    if not references:
        raise InputError(
            "a target is an empty list: an example without a right answer cannot be scored"
        )
    return references


def _normalize(text: str) -> str:
    """The official SQuAD script's normalize_answer."""
    return _remove_articles(_remove_punctuation(text.lower()))


def _remove_punctuation(text: str) -> str:
    return "".join(letter for letter in text if letter not in string.punctuation)


_TRIVIA_QA_PUNCTUATION = frozenset(string.punctuation + "\u2018\u2019\u00b4")


def _normalize_trivia_qa(text: str) -> str:
    """The official TriviaQA script's normalize_answer, which made the aliases of the dataset."""
    letters = [
        " " if letter in _TRIVIA_QA_PUNCTUATION else letter for letter in text.lower()
    ]
    return _remove_articles("".join(letters))


def _remove_articles(text: str) -> str:
    """Also replaces each run of white space by one space."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _class_f1(targets: Sequence, predictions: Sequence, label: str) -> float:
    """Returns the F1 of a class that is among the targets or the predictions, 0 to 1."""
    pairs = _pairs(targets, predictions)
    hits = sum(target == prediction == label for target, prediction in pairs)
    mentions = [*targets, *predictions].count(label)
    return 2 * hits / mentions


def _bag_f1(target: str, prediction: str) -> float:
    """Returns the F1 of the words of two normalized texts, counting repeated words."""
    target_words = target.split()
    predicted_words = prediction.split()
    common_words = collections.Counter(target_words) & collections.Counter(
        predicted_words
    )
    common = sum(common_words.values())
    if common == 0:
        return 0.0
    return 2 * common / (len(target_words) + len(predicted_words))


def _normalize_drop(text: str) -> str:
    """The official DROP script's normalize_answer."""
    words = []
    for token in re.split(" |-", text.lower()):
        word = token if _is_number(token) else _remove_punctuation(token)
        words.append(str(float(word)) if _is_number(word) else _remove_articles(word))
    return " ".join(filter(None, words))


def _drop_f1(target_words: set[str], predicted_words: set[str]) -> float:
    target_numbers = set(filter(_is_number, target_words))
    if target_numbers and not target_numbers & predicted_words:
        return 0.0
    if target_words == predicted_words:
        return 1.0
    common = len(target_words & predicted_words)
    return round(2 * common / (len(target_words) + len(predicted_words)), 2)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sentences(text: str) -> str:
    return text.replace(" . ", " .\n")


def _check_two_classes(texts: Sequence[str]) -> list[str]:
    classes = sorted(set(texts))
    if len(classes) > 2:
        names = ", ".join(map(repr, classes))
        raise InputError(
            f"Matthews correlation is for two classes; here are {names}. Use accuracy or mean_f1"
        )
    return classes


def _check_yes(options: tuple[str, ...]) -> None:
    if "yes" not in options:
        raise InputError(
            f"yes_f1 is the F1 of the answer 'yes', which is none of the options {options!r}. "
            "Use accuracy or mean_f1"
        )


def _target_numbers(targets: Sequence[str]) -> np.ndarray:
    numbers = np.array([_number(text) for text in targets])
    if np.isnan(numbers).any():
        text = targets[int(np.isnan(numbers).argmax())]
        raise InputError(
            f"correlations are of numbers; the target {text!r} is none. Use accuracy or mean_f1"
        )
    return numbers


def _number(text: str) -> float:
    """Returns the number, or NaN if the text is not a finite number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the Pearson correlation, 0 where it is undefined."""
    from scipy.stats import pearsonr  # takes a second to import

    if np.all(x == x[0]) or np.all(y == y[0]):
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # of a mean beyond 1.8e308
        correlation = float(pearsonr(x, y).statistic)  # pyright: ignore[reportAttributeAccessIssue]
    return 0.0 if math.isnan(correlation) else correlation


register_metric(accuracy, mean_of_examples=True)
register_metric(exact_match, mean_of_examples=True, answers="texts")
register_metric(token_f1, mean_of_examples=True, answers="texts")
register_metric(trivia_qa, mean_of_examples=True, answers="texts")
register_metric(drop, mean_of_examples=True, answers="texts")
register_metric(group_exact_match, mean_of_groups=True)
register_metric(edit_similarity, mean_of_examples=True, answers="texts")
register_metric(rouge, mean_of_examples=True, answers="texts")
register_metric(rouge_stemmed, mean_of_examples=True, answers="texts")
register_metric(rouge_l, mean_of_examples=True, answers="texts")
register_metric(rouge_l_stemmed, mean_of_examples=True, answers="texts")
register_metric(
    bleu, resample=sum_statistics(bleu_statistics, bleu_of), answers="texts"
)
register_metric(mean_f1, resample=recompute(mean_f1), answers="fixed_options")
register_metric(macro_f1, resample=recompute(macro_f1), answers="fixed_options")
register_metric(macro_recall, resample=recompute(macro_recall), answers="fixed_options")
register_metric(
    yes_f1,
    resample=recompute(yes_f1),
    answers="fixed_options",
    check_options=_check_yes,
)
register_metric(
    matthews,
    resample=recompute(matthews),
    answers="fixed_options",
    check_options=_check_two_classes,
)
register_metric(
    pearson_spearman,
    resample=recompute(pearson_spearman),
    answers="fixed_options",
    check_options=_target_numbers,
)
