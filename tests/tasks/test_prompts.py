import dataclasses
import re

import pytest
from toy_tasks import KIND, SPELL

from flan_jax.errors import InputError
from flan_jax.tasks import prompts as prompts_module
from flan_jax.tasks.prompts import Prompts, register_instructions
from flan_jax.tasks.rendering import render_eval, render_train
from flan_jax.tasks.templates import OPTIONS, ClozeTemplate, FormatTemplate, Template

PAIR = dataclasses.replace(
    KIND,
    cluster="nli",
    title="Toy {RTE}",
    templates=(
        FormatTemplate("Read {premise} Then {hypothesis} and {premise}?\n\n{options}"),
        FormatTemplate("{options}\n\nPick. {premise}\n{hypothesis}"),
        FormatTemplate(
            "Invent one for {answer}.\n{options}\nGo!",
            "{premise} {hypothesis}",
            turned_around=True,
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
    return [
        template.render(FIELDS)[0]
        for template in Prompts(**settings).templates_for(PAIR)
    ]


def test_cloze_is_the_tasks_cloze():
    cloze = ClozeTemplate("{premise} So {hypothesis} That is {answer}.", {"yes": "so"})
    task = dataclasses.replace(PAIR, cloze=cloze)
    assert Prompts(instructions="cloze").templates_for(task) == (cloze,)
    with pytest.raises(InputError, match=r"no cloze.*TemplatedTask\.cloze"):
        Prompts(instructions="cloze").templates_for(PAIR)


@pytest.mark.parametrize("options", [True, False])
def test_hypothesis_only_leaves_the_premise_out(options):
    task = dataclasses.replace(PAIR, premise=("premise",))
    prompts = Prompts(instructions="hypothesis_only", options=options, templates=1)
    (template,) = prompts.templates_for(task)
    suffix = "\n\nOPTIONS:\n- no\n- yes" if options else ""
    assert template.render(FIELDS) == (f"Read  Then It is wet. and ?{suffix}", "yes")
    with pytest.raises(InputError, match=r"TemplatedTask\.premise"):
        prompts.templates_for(PAIR)


def test_natural_is_the_tasks_templates():
    assert Prompts().templates_for(PAIR) == PAIR.templates
    assert Prompts(templates=2).templates_for(PAIR) == PAIR.templates[:2]
    assert Prompts(templates=7).templates_for(PAIR) == PAIR.templates
    assert Prompts(only=1).templates_for(PAIR) == (PAIR.templates[1],)


def test_without_options():
    assert inputs(options=False) == [
        "Read It rains. Then It is wet. and It rains.?",
        "Pick. It rains.\nIt is wet.",
        "Invent one for yes.\nGo!",
    ]


def test_no_template():
    assert inputs(instructions="none") == [
        "It rains.\nIt is wet.\nOPTIONS:\n- no\n- yes"
    ]
    assert inputs(instructions="none", options=False) == ["It rains.\nIt is wet."]


def test_the_bare_fields_may_be_named():
    task = dataclasses.replace(PAIR, bare=("hypothesis",))
    (template,) = Prompts(instructions="none", options=False).templates_for(task)
    assert template.render(FIELDS)[0] == "It is wet."


def test_dataset_name():
    assert inputs(instructions="dataset_name", options=False) == [
        "[Natural language inference: Toy {RTE}] It rains.\nIt is wet."
    ]
    named = Prompts(instructions="dataset_name").templates_for(SPELL)[0]
    assert named.render({"animal": "cat", "answer": "c a t"}) == (
        "[words: toy_spell] cat",
        "c a t",
    )


def test_training_and_evaluation_use_what_is_shown():
    bare = Prompts(instructions="none", options=False)
    rows = list(
        render_train(KIND, KIND.source.rows("train"), cap=2, prompts=bare, renderings=3)
    )
    assert [(row.template, row.inputs, row.targets) for row in rows] == [
        (0, "cat number 0", "no"),
        (0, "dog number 1", "no"),
    ]
    rows = list(
        render_eval(
            KIND, KIND.source.rows("test"), max_examples=1, prompts=Prompts(templates=1)
        )
    )
    assert [(row.template, row.options) for row in rows] == [(0, ("no", "yes"))]


def test_round_robin():
    rows = list(
        render_train(
            KIND,
            KIND.source.rows("train"),
            cap=4,
            assignment="round_robin",
            renderings=2,
        )
    )
    # Row 3 is filtered and takes no turn.
    assert [(row.example, row.template) for row in rows] == [
        (0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0), (4, 0), (4, 1),
    ]  # fmt: skip


def test_instructions_of_a_users_own(monkeypatch):
    monkeypatch.setattr(
        prompts_module, "INSTRUCTIONS", dict(prompts_module.INSTRUCTIONS)
    )

    def polite(task, prompts):
        return (
            FormatTemplate("Please. {premise}\n{options}"),
            *task.templates[: prompts.templates],
        )

    register_instructions("polite", polite)
    assert inputs(instructions="polite", options=False, templates=1) == [
        "Please. It rains.",
        "Read It rains. Then It is wet. and It rains.?",
    ]
    with pytest.raises(InputError, match="two instructions are named 'none'"):
        register_instructions("none", polite)


@dataclasses.dataclass(frozen=True)
class PercentTemplate:
    """A second template class, with the members that every class must have and no more."""

    inputs: str
    targets: str = "%(answer)s"
    turned_around: bool = False

    @property
    def fields(self):
        return frozenset(re.findall(r"%\((\w+)\)", self.inputs + self.targets))

    def render(self, fields):
        texts = dict(fields)
        if OPTIONS in texts:
            texts[OPTIONS] = " or ".join(fields[OPTIONS])
        return self.inputs % texts, self.targets % texts


@dataclasses.dataclass(frozen=True)
class FullPercentTemplate(PercentTemplate):
    """The same with the members that instructions="none" and options=False need."""

    @property
    def input_fields(self):
        return tuple(re.findall(r"%\((\w+)\)", self.inputs))

    def without_options(self):
        return dataclasses.replace(
            self, inputs=self.inputs.replace(" %(options)s?", "")
        )


def percent_task(template_class):
    return dataclasses.replace(
        KIND,
        templates=(
            template_class("Does %(animal)s fly? %(options)s?"),
            template_class("%(animal)s", "Wings: %(answer)s"),
        ),
    )


def train_texts(task, **settings):
    rows = render_train(
        task, KIND.source.rows("train"), cap=1, prompts=Prompts(**settings)
    )
    return [(row.inputs, row.targets) for row in rows]


def test_another_template_class_is_rendered():
    task = percent_task(PercentTemplate)
    assert isinstance(task.templates[0], Template)
    assert train_texts(task, only=0) == [("Does cat number 0 fly? no or yes?", "no")]
    assert train_texts(task, only=1, options=False) == [("cat number 0", "Wings: no")]
    rows = list(render_eval(task, KIND.source.rows("test"), max_examples=1))
    assert [(row.inputs, row.options) for row in rows] == [
        ("Does cat number 2000 fly? no or yes?", ("no", "yes")),
        ("cat number 2000", ("Wings: no", "Wings: yes")),
    ]


def test_another_template_class_without_instructions_and_options():
    task = percent_task(FullPercentTemplate)
    assert train_texts(task, only=0, options=False) == [
        ("Does cat number 0 fly?", "no")
    ]
    assert train_texts(task, instructions="none", options=False) == [
        ("cat number 0", "no")
    ]
    assert train_texts(task, instructions="none") == [
        ("cat number 0\nOPTIONS:\n- no\n- yes", "no")
    ]
    assert train_texts(task, instructions="dataset_name", options=False) == [
        ("[zoo: toy_kind] cat number 0", "no")
    ]
    (row,) = render_eval(
        task,
        KIND.source.rows("test"),
        max_examples=1,
        prompts=Prompts(instructions="none", options=False),
    )
    assert (row.inputs, row.options) == ("cat number 2000", ("no", "yes"))


@pytest.mark.parametrize("instructions", ["none", "dataset_name"])
def test_bare_fields_that_a_template_class_does_not_give(instructions):
    task = percent_task(PercentTemplate)
    with pytest.raises(
        InputError,
        match="'toy_kind'.* class PercentTemplate.*Name the fields .* TemplatedTask.bare",
    ):
        train_texts(task, instructions=instructions)
    named = dataclasses.replace(task, bare=("animal",))
    ((text, _),) = train_texts(named, instructions=instructions, options=False)
    assert text.endswith("cat number 0")


def test_options_that_a_template_class_cannot_leave_out():
    with pytest.raises(
        InputError,
        match="'toy_kind'.* class PercentTemplate, which has no without_options",
    ):
        train_texts(percent_task(PercentTemplate), options=False)


def test_a_bare_prompt_is_never_empty():
    task = dataclasses.replace(
        SPELL, templates=(FormatTemplate("Spell it.", "{animal}{answer}"),)
    )
    with pytest.raises(
        InputError, match="'toy_spell'.*the prompt would be empty.*bare"
    ):
        train_texts(task, instructions="none", options=False)


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


def test_the_least_settings():
    prompts = Prompts(templates=1, exemplar_tokens=1, shots=16)
    assert len(prompts.templates_for(KIND)) == 1


def test_a_template_that_is_not_there():
    with pytest.raises(InputError, match="no template 3; its templates are 0 to 2"):
        Prompts(only=3).templates_for(KIND)


def test_instructions_that_take_other_arguments_are_refused():
    with pytest.raises(
        InputError, match=r"instructions 'mine' .* \(task, prompts\), but"
    ):
        register_instructions("mine", lambda task: task.templates)
    assert "mine" not in prompts_module.INSTRUCTIONS


@pytest.mark.parametrize("name", ["templates", "only", "shots", "exemplar_tokens"])
def test_counts_are_whole_numbers(name):
    for value in (True, -1):
        with pytest.raises(InputError, match=f"Prompts.{name} is {value}"):
            Prompts(**{name: value})
