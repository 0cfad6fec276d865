import pytest

from flan_jax.cli.gin_settings import load_settings
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig
from flan_jax.tasks.prompts import Prompts


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 0}, "EvalConfig.rows is 0; it must be at least 1"),
        ({"every": 0}, "EvalConfig.every is 0; it must be at least 1"),
        ({"during_examples": 0}, "EvalConfig.during_examples is 0"),
        (
            {"scoring": "summ"},
            "unknown EvalConfig.scoring 'summ'. Did you mean 'sum'. Known: calibrated, mean, sum",
        ),
        (
            {"more": {"a-b": Prompts()}},
            "EvalConfig.more is .*'a-b'.*write a name of letters",
        ),
    ],
)
def test_evaluation_settings_that_make_no_sense(wrong, message):
    with pytest.raises(InputError, match=message):
        EvalConfig(**wrong)


def test_generation_is_set_in_gin():
    files = ["flan_mixture.gin"]
    assert load_settings(files, []).evaluation.generation == GenerationConfig()
    bindings = [
        "EvalConfig.generation = @GenerationConfig()",
        "GenerationConfig.num_beams = 4",
        "GenerationConfig.length_penalty = 0.6",
    ]
    generation = load_settings(files, bindings).evaluation.generation
    assert generation == GenerationConfig(num_beams=4, length_penalty=0.6)
    wrong = [*bindings, "GenerationConfig.temperature = 1.0"]
    with pytest.raises(InputError, match="beam search does not sample"):
        load_settings(files, wrong)


def test_controls_are_on_in_the_first_run_and_off_without_a_word():
    assert load_settings(["flan_mixture.gin"], []).evaluation.controls
    assert load_settings(["shuffled_labels.gin"], []).evaluation.controls
    assert not EvalConfig().controls
