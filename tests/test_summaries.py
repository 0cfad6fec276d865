import dataclasses

import pytest
from data.toy_tasks import KIND, SPELL

from flan_jax.data.metrics import accuracy, yes_f1
from flan_jax.summaries import summarise

CHOOSE = dataclasses.replace(KIND, options="choices")


def ranked(template, answer, chosen, options=2):
    row = {"example": answer, "template": template, "answer": answer, "right": [answer], "chosen": chosen}
    return row | {"options": ["x"] * options}


def test_the_mean_is_over_templates_and_the_best_template_is_chosen_on_validation():
    """Template 0 is right once in four on test, template 1 three times; validation prefers template 0."""
    test = [ranked(0, i, chosen) for i, chosen in enumerate([0, 9, 9, 9])]
    test += [ranked(1, i, chosen) for i, chosen in enumerate([0, 1, 2, 9])]
    validation = [ranked(0, 1, 1), ranked(0, 0, 0), ranked(1, 1, 1), ranked(1, 0, 1)]
    assert summarise(CHOOSE, {"validation": validation, "test": test}) == {
        "metric": "accuracy",
        "mean": 50.0,
        "best_dev_template": {"template": 0, "score": 25.0},
        "chance": 50.0,
        "examples": 4,
        "templates": [
            {"template": 0, "validation": {"accuracy": 100.0}, "test": {"accuracy": 25.0}},
            {"template": 1, "validation": {"accuracy": 50.0}, "test": {"accuracy": 75.0}},
        ],
    }


def test_without_validation_there_is_no_best_template_and_chance_is_one_in_the_options():
    rows = [ranked(t, 0, 0, options) for t in (0, 1) for options in (2, 4)]
    summary = summarise(CHOOSE, {"test": rows})
    assert (summary["best_dev_template"], summary["chance"]) == (None, (50 + 25) / 2)


def test_a_generated_answer_is_right_when_it_is_one_of_the_references():
    rows = [
        {"example": i, "template": t, "answer": -1, "references": ["c a t", "c-a-t"], "prediction": text}
        for t, texts in enumerate([("c-a-t", "dog"), ("c a t", "c-a-t")])
        for i, text in enumerate(texts)
    ]
    summary = summarise(SPELL, {"test": rows})
    assert (summary["metric"], summary["mean"], summary["chance"], summary["examples"]) == ("accuracy", 75.0, None, 2)


def test_metrics_of_fixed_options_see_the_options_themselves():
    task = dataclasses.replace(KIND, metrics=(accuracy, yes_f1))
    rows = [ranked(0, answer, chosen) for answer, chosen in [(1, 1), (0, 1), (0, 0), (1, 0), (1, 1)]]
    (template,) = summarise(task, {"test": rows})["templates"]
    assert template["test"] == pytest.approx({"accuracy": 60.0, "yes_f1": 100 * 4 / 6})


def test_each_of_several_right_options_counts():
    rows = [ranked(0, 0, chosen, options=3) | {"right": [0, 2]} for chosen in (0, 1, 2)]
    assert summarise(CHOOSE, {"test": rows})["mean"] == pytest.approx(200 / 3)
