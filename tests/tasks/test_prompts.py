import dataclasses

import pytest
from toy_tasks import KIND, SPELL

from flan_jax.errors import InputError
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import render_eval, render_train
from flan_jax.tasks.templates import Template

PAIR = dataclasses.replace(
    KIND,
    cluster="nli",
    title="Toy {RTE}",
    templates=(
        Template("Read {premise} Then {hypothesis} and {premise}?\n\n{options}"),
        Template("{options}\n\nPick. {premise}\n{hypothesis}"),
        Template(
            "Invent one for {answer}.\n{options}\nGo!", "{premise} {hypothesis}", turned_around=True
        ),
    ),
)
FIELDS = {
    "premise": "It rains.",
    "hypothesis": "It is wet.",
    "answer": "yes",
    "options": ("no", "yes"),
}


def inputs(**settings):
    return [template.render(FIELDS)[0] for template in Prompts(**settings).shown(PAIR)]


def test_natural_is_the_tasks_templates():
    assert Prompts().shown(PAIR) == PAIR.templates
    assert Prompts(templates=2).shown(PAIR) == PAIR.templates[:2]
    assert Prompts(templates=7).shown(PAIR) == PAIR.templates
    assert Prompts(only=1).shown(PAIR) == (PAIR.templates[1],)


def test_without_options():
    assert inputs(options=False) == [
        "Read It rains. Then It is wet. and It rains.?",
        "Pick. It rains.\nIt is wet.",
        "Invent one for yes.\nGo!",
    ]


def test_no_template():
    assert inputs(instructions="none") == ["It rains.\nIt is wet.\nOPTIONS:\n- no\n- yes"]
    assert inputs(instructions="none", options=False) == ["It rains.\nIt is wet."]


def test_the_bare_fields_may_be_named():
    task = dataclasses.replace(PAIR, bare=("hypothesis",))
    (template,) = Prompts(instructions="none", options=False).shown(task)
    assert template.render(FIELDS)[0] == "It is wet."


def test_dataset_name():
    assert inputs(instructions="dataset_name", options=False) == [
        "[Natural language inference: Toy {RTE}] It rains.\nIt is wet."
    ]
    named = Prompts(instructions="dataset_name").shown(SPELL)[0]
    assert named.render({"animal": "cat", "answer": "c a t"}) == ("[words: toy_spell] cat", "c a t")


def test_training_and_evaluation_use_what_is_shown():
    bare = Prompts(instructions="none", options=False)
    rows = list(render_train(KIND, KIND.source.rows("train"), cap=2, prompts=bare, renderings=3))
    assert [(row.template, row.inputs, row.targets) for row in rows] == [
        (0, "cat number 0", "no"),
        (0, "dog number 1", "no"),
    ]
    rows = list(
        render_eval(KIND, KIND.source.rows("test"), max_examples=1, prompts=Prompts(templates=1))
    )
    assert [(row.template, row.options) for row in rows] == [(0, ("no", "yes"))]


def test_round_robin():
    rows = list(
        render_train(KIND, KIND.source.rows("train"), cap=4, assignment="round_robin", renderings=2)
    )
    # Row 3 is filtered and takes no turn.
    assert [(row.example, row.template) for row in rows] == [
        (0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0), (4, 0), (4, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"instructions": "nautral"}, "Did you mean 'natural'"),
        ({"templates": 0}, "at least 1"),
        ({"shots": 17}, "between 0 .* and 16"),
        ({"shots": -1}, "between 0 .* and 16"),
        ({"exemplar_tokens": 0}, "exemplar_tokens is 0"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(InputError, match=message):
        Prompts(**settings)


def test_a_template_that_is_not_there():
    with pytest.raises(InputError, match="no template 3; its templates are 0 to 2"):
        Prompts(only=3).shown(KIND)
