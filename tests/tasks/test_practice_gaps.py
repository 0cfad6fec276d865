"""Texts with gaps: as exercises, cut before a gap, and without marks."""

import random

import pytest

from tasks.practice.gaps import cut_at_gap, exercise, gap, unmarked

TEXT = f"Ida is a {gap('baker')}. Is Ida a pilot? {gap('No')}. Good."


def test_an_exercise_has_numbers_where_the_words_are_missing():
    numbered, words = exercise(TEXT)
    assert numbered == "Ida is a (1). Is Ida a pilot? (2). Good."
    assert words == "(1) baker (2) No"


def test_words_with_a_backslash_stay_as_they_are():
    assert exercise(f"Write {gap(chr(92) + 'g<0>')}.") == ("Write (1).", r"(1) \g<0>")


def test_a_cut_text_ends_before_a_gap_and_keeps_all_words():
    cuts = {cut_at_gap(TEXT, random.Random(seed)) for seed in range(50)}
    assert cuts == {
        ("Ida is a", "baker. Is Ida a pilot? No. Good."),
        ("Ida is a baker. Is Ida a pilot?", "No. Good."),
    }


def test_the_last_gap_is_cut_at_most_often():
    rng = random.Random(0)
    many = " ".join(gap(word) for word in ["a", "b", "c", "d", "e", "f"])
    rests = [cut_at_gap(many, rng)[1] for _ in range(1000)]
    assert 500 < rests.count("f") < 700


@pytest.mark.parametrize("text", ["", "Nothing is missing."])
def test_a_text_without_a_gap_makes_no_exercise(text):
    assert exercise(text) is None
    assert cut_at_gap(text, random.Random(0)) is None
    assert unmarked(text) == text


def test_a_gap_at_the_beginning_leaves_nothing_to_read():
    text = f"{gap('Ida')} is a baker."
    assert cut_at_gap(text, random.Random(0)) is None
    assert exercise(text) == ("(1) is a baker.", "(1) Ida")
    assert unmarked(text) == "Ida is a baker."
