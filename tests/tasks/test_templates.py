import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_jax.errors import InputError
from flan_jax.tasks.templates import (
    BlankedTemplate,
    ClozeTemplate,
    FormatTemplate,
    Template,
    check_template,
    escape_braces,
    options_suffix,
)

FIELDS = {"premise": "It rains.", "options": ("yes", "no"), "answer": "yes"}


def test_render():
    template = FormatTemplate("  {premise} Is it wet?\n{options}", "{answer}! ")
    assert template.render(FIELDS) == (
        "It rains. Is it wet?\nOPTIONS:\n- yes\n- no",
        "yes!",
    )
    assert template.fields == {"premise", "options", "answer"}
    assert template.turned_around is False
    assert isinstance(template, Template)


def test_input_fields_and_parts():
    template = FormatTemplate(" {premise} {options}{premise}", "{premise} {answer}")
    assert template.input_fields == ("premise", "options", "premise")
    assert template.input_parts(FIELDS) == [
        (" ", None),
        ("It rains.", "premise"),
        (" ", None),
        ("OPTIONS:\n- yes\n- no", "options"),
        ("It rains.", "premise"),
    ]


@pytest.mark.parametrize(
    ("inputs", "without"),
    [
        ("{premise}\n\n{options}", "{premise}"),
        ("{options}\n\nPick one. {premise}", "Pick one. {premise}"),
        ("{premise}\n{options}\nGo!", "{premise}\nGo!"),
        ("{{options}} {premise}", "{{options}} {premise}"),
        ("{premise}", "{premise}"),
    ],
)
def test_without_options(inputs, without):
    template = FormatTemplate(inputs, "{answer}.", turned_around=True)
    assert template.without_options() == FormatTemplate(
        without, "{answer}.", turned_around=True
    )


def test_options_keep_their_order():
    assert options_suffix(["b", "a"]) == "OPTIONS:\n- b\n- a"


def test_doubled_braces_are_literal():
    assert (
        FormatTemplate("{{premise}} {premise}").render(FIELDS)[0]
        == "{premise} It rains."
    )


@given(st.text(), st.text())
def test_field_values_are_shown_unchanged(text, answer):
    """Braces and percent signs in data are no slots."""
    template = FormatTemplate("<{premise}>", "<{answer}>")
    rendered = template.render({"premise": text, "answer": answer})
    assert rendered == (f"<{text}>", f"<{answer}>")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_escaped_text_renders_as_itself(text):
    assert FormatTemplate(escape_braces(text)).render(FIELDS)[0] == text.strip()


@pytest.mark.parametrize("pattern", ["{", "}", "{premise", "}}}"])
def test_unbalanced_braces(pattern):
    with pytest.raises(InputError, match="Write {{ and }} for literal braces"):
        FormatTemplate(pattern)


@pytest.mark.parametrize(
    "slot",
    ["{0}", "{}", "{a.b}", "{a[0]}", "{a!r}", "{a:>4}", "{a!s}", "{a:s}", "{a b}"],
)
def test_slots_that_are_not_plain_names(slot):
    """They are refused for their form, before any field is looked up."""
    for patterns in ((slot, "{answer}"), ("{premise}", slot)):
        with pytest.raises(
            InputError, match="is not a plain {name}. Write the name of a field"
        ):
            FormatTemplate(*patterns)


def test_missing_field_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"'hypothesis'.*answer, options, premise"):
        FormatTemplate("{hypothesis}").render(FIELDS)


def test_only_texts_are_shown():
    with pytest.raises(InputError, match="is int"):
        FormatTemplate("{number}").render(FIELDS | {"number": 3})


def test_targets_need_a_field():
    with pytest.raises(InputError, match="has no {field}"):
        FormatTemplate("{premise}", "yes")


def test_a_cloze_is_cut_at_its_answer():
    cloze = ClozeTemplate(
        " {premise} So it is {answer} that {claim} ", {"yes": "true", "no": "false"}
    )
    fields = {"premise": "It rains.", "claim": "it is wet.", "answer": "no"}
    assert cloze.render(fields) == ("It rains. So it is", "false that it is wet.")
    assert cloze.fields == {"premise", "answer", "claim"}
    assert cloze.input_fields == ("premise",)
    assert isinstance(cloze, Template)


def test_an_answer_without_a_word_of_its_own_stays_as_it_is():
    cloze = ClozeTemplate("It {answer}.", {"yes": "does"})
    assert cloze.render({"answer": "snows"}) == ("It", "snows.")


@pytest.mark.parametrize(
    "text", ["It rains.", "{answer} or {answer}", "{options} so {answer}", "{answer}."]
)
def test_a_text_that_is_no_cloze_is_refused(text):
    with pytest.raises(InputError, match="answer"):
        ClozeTemplate(text)


def test_blanked_fields_are_shown_as_nothing():
    template = FormatTemplate("{premise}\nSo is it wet?\n{options}")
    blanked = BlankedTemplate(template, ("premise",))
    assert blanked.render(FIELDS) == ("So is it wet?\nOPTIONS:\n- yes\n- no", "yes")
    assert blanked.fields == template.fields


class OnlyRendered:
    def render(self, fields):
        return "", ""


def test_a_template_that_lacks_a_member_is_refused():
    for template, name in ((OnlyRendered(), "OnlyRendered"), (3, "int")):
        with pytest.raises(
            InputError, match=f"of the class {name} has no fields. A te"
        ):
            check_template("mine", template)
