import jax
import numpy as np
import pytest
from tiny_models import (
    EOS,
    MODELS,
    PROMPTS,
    as_read,
    logits_of,
    make_scorer,
    token_lists,
    tokens,
)

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


def argmax_tokens(logits_of, name, prompt, length):
    """The most probable tokens one after the other, those after EOS too."""
    answer = []
    while len(answer) < length:
        answer.append(int(np.argmax(logits_of(name, prompt, answer)[-1])))
    return answer


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_is_greedy_if_each_of_its_tokens_is_the_most_probable(
    name, logits_of
):
    answers = []
    expected = []
    for prompt in PROMPTS:
        greedy = argmax_tokens(logits_of, name, prompt, 5)
        other = [token ^ 1 for token in greedy]
        choices = [greedy[:1], greedy, [*greedy[:-1], other[-1]]]
        choices += [[other[0], *greedy[1:]], other[:1], [*greedy[:2], EOS]]
        answers.append(tokens(choices))
        expected.append([True, True, False, False, False, greedy[2] == EOS])
    # Rows have different numbers of answers.
    answers[1], expected[1] = answers[1][:2], expected[1][:2]

    scorer = make_scorer(name)
    prompts = as_read(name, PROMPTS)
    results = scorer.log_probs_and_greedy(prompts, answers)
    assert token_lists(is_greedy for _, is_greedy in results) == expected
    for (sums, _), alone in zip(
        results, scorer.log_probs(prompts, answers), strict=True
    ):
        np.testing.assert_allclose(sums, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_of_equally_probable_tokens_the_first_is_greedy(name):
    scorer = make_scorer(name)
    head = scorer.params["decoder"]["logits_dense"]
    kernel = np.zeros(head["kernel"].shape, np.float32)
    decoder = {**scorer.params["decoder"], "logits_dense": {"kernel": kernel}}
    scorer.params = {**scorer.params, "decoder": decoder}
    (result,) = scorer.log_probs_and_greedy(
        as_read(name, PROMPTS[:1]), [tokens([[0, 0], [0, 1], [1, 0]])]
    )
    assert result[1].tolist() == [True, False, False]


@pytest.mark.parametrize("name", MODELS)
def test_only_who_asks_for_greedy_flags_pays_for_them(name):
    scorer = make_scorer(name)
    answers = [tokens(choices) for choices in ANSWERS]
    for with_greedy in (False, True):
        program, batch = scorer.option_scoring_program(
            as_read(name, PROMPTS), answers, with_greedy=with_greedy
        )
        text = str(jax.make_jaxpr(program)(scorer.params, batch))
        assert ("argmax" in text) == with_greedy
