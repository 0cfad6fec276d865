import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_jax.errors import InputError
from flan_jax.tasks.templates import Template, options_suffix

FIELDS = {"premise": "It rains.", "options": ("yes", "no"), "answer": "yes"}


def test_render():
    template = Template("  {premise} Is it wet?\n{options}", "{answer}! ")
    assert template.render(FIELDS) == ("It rains. Is it wet?\nOPTIONS:\n- yes\n- no", "yes!")
    assert template.fields == {"premise", "options", "answer"}


def test_options_keep_their_order():
    assert options_suffix(["b", "a"]) == "OPTIONS:\n- b\n- a"


def test_doubled_braces_are_literal():
    assert Template("{{premise}} {premise}").render(FIELDS)[0] == "{premise} It rains."


@given(st.text(), st.text())
def test_field_values_are_shown_as_they_are(text, answer):
    """Braces and percent signs in data are no slots."""
    shown = Template("<{premise}>", "<{answer}>").render({"premise": text, "answer": answer})
    assert shown == (f"<{text}>", f"<{answer}>")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_escaped_text_renders_as_itself(text):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert Template(escaped).render(FIELDS)[0] == text.strip()


@pytest.mark.parametrize(
    "pattern", ["{", "}", "{premise", "{0}", "{}", "{a.b}", "{a[0]}", "{a!r}", "{a:>4}"]
)
def test_bad_patterns(pattern):
    with pytest.raises(InputError, match="template"):
        Template(pattern).render(FIELDS)


def test_missing_field_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"'hypothesis'.*answer, options, premise"):
        Template("{hypothesis}").render(FIELDS)


def test_only_texts_are_shown():
    with pytest.raises(InputError, match="is int"):
        Template("{number}").render(FIELDS | {"number": 3})


def test_targets_need_a_field():
    with pytest.raises(InputError, match="has no {field}"):
        Template("{premise}", "yes")
