import jax
import numpy as np
import pytest
from tiny_models import MODELS, PROMPTS, as_read, logits_of, make_scorer, tokens

__all__ = ["logits_of"]  # a fixture

ANSWERS = [
    [[20, 1], [21, 22, 23, 24, 1]],
    [[25, 26, 1]],
    [[27, 1], [28, 29, 1], [30, 31, 32, 1]],
    [[33, 1], [20, 1]],
]


@pytest.fixture
def check_sums(logits_of):
    """check_sums(name, prompts, answers, sums): compares with the whole model, without a cache."""

    def expected(name, prompt, answer):
        log_probs = np.asarray(jax.nn.log_softmax(logits_of(name, prompt, answer)[:-1]))
        return float(np.sum(log_probs[np.arange(len(answer)), answer]))

    def check(name, prompts, answers, sums):
        assert [len(row) for row in sums] == [len(choices) for choices in answers]
        for prompt, choices, row in zip(prompts, answers, sums, strict=True):
            assert row.dtype == np.float32
            row_expected = [expected(name, prompt, answer) for answer in choices]
            np.testing.assert_allclose(row, row_expected, rtol=1e-5, atol=1e-5)

    return check


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_sums_of_each_answers_log_probabilities(name, check_sums):
    answers = [tokens(choices) for choices in ANSWERS]
    sums = make_scorer(name).log_probs(as_read(name, PROMPTS), answers)
    check_sums(name, PROMPTS, ANSWERS, sums)


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
def test_scores_do_not_depend_on_the_rows_beside_nor_on_how_many_there_are(
    name, check_sums
):
    """More prompts, and more answers, than the scorer has rows."""
    scorer = make_scorer(name)
    prompts, answers = PROMPTS * 3, ANSWERS * 3
    sums = scorer.log_probs(
        as_read(name, prompts), [tokens(choices) for choices in answers]
    )
    check_sums(name, prompts, answers, sums)
    alone = scorer.log_probs(as_read(name, PROMPTS[1:2]), [tokens(ANSWERS[1])])
    np.testing.assert_allclose(alone[0], sums[1], rtol=1e-5, atol=1e-5)
    assert scorer.log_probs([], []) == []


@pytest.mark.parametrize("name", ["encoder_decoder", "relative"])
def test_a_mesh_with_split_parameters_scores_the_same(name):
    prompts, answers = as_read(name, PROMPTS), [tokens(choices) for choices in ANSWERS]
    expected = make_scorer(name).log_probs(prompts, answers)
    split = make_scorer(name, mesh={"data": 2, "fsdp": 2, "tensor": 2})
    for sums, expected_sums in zip(
        split.log_probs(prompts, answers), expected, strict=True
    ):
        np.testing.assert_allclose(sums, expected_sums, rtol=1e-4, atol=1e-4)
