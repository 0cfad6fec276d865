"""Rows as the real datasets have them, and the fields that tasks make of them."""

import dataclasses

import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.tasks.task import get_task


def arc(labels, answer):
    choices = {
        "text": ["lava ", "ice", "sand", "clay"][: len(labels)],
        "label": list(range(len(labels))),
    }
    return {
        "id": "x_1",
        "question": "Which of these is a solid form of water?",
        "choices": choices,
        "answerKey": answer,
    }


WSC273 = {
    "text": "The city councilmen refused the demonstrators a permit because they feared violence.",
    "option1": "The city councilmen",
    "option1_normalized": "The city councilmen",
    "option2": "The demonstrators",
    "option2_normalized": "The demonstrators",
    "pronoun_start": 63,
    "pronoun_end": 67,
    "pronoun_text": "they",
    "label": 0,
    "idx": 0,
}
RECORD = {
    "passage": (
        "Rome (CNN) Anna Rossi won again on Sunday.\n@highlight\nRossi beat Weber\n@highlight\n"
        "She is 23"
    ),
    "query": "The final in Rome was the third that @placeholder has won, her coach said",
    "entities": ["Rome", "Rossi", "Anna Rossi", "Weber", "Rome"],
    "answers": ["Rossi", "Anna Rossi"],
    "idx": {"passage": 4, "query": 11},
}
HELLASWAG = {
    "context": "[header] How to brew tea [title] Boil water. [step] Fill the kettle and",
    "endings": [
        "wait. [substeps] Pour it.",
        "go home.",
        "sing [title] loudly.",
        "sell it.",
    ],
    "activity_label": "Food",
    "label": 0,
    "split_type": "indomain",
    "source_id": "wikihow~1",
}
STORY = {
    "context": "Tom lost his keys. He looked at home. He looked at work. They were in his car.",
    "endings": ["Tom drove home happy.", "Tom bought a violin."],
}

CASES = {
    "arc_easy": (
        arc("ABCD", 1),
        {
            "question": "Which of these is a solid form of water?",
            "choices": ("lava", "ice", "sand", "clay"),
            "options": ("lava", "ice", "sand", "clay"),
            "answer": "ice",
        },
    ),
    "wsc273": (
        WSC273,
        {
            "context": "The city councilmen refused the demonstrators a permit because",
            "answer": "The city councilmen feared violence.",
            "options": (
                "The city councilmen feared violence.",
                "The demonstrators feared violence.",
            ),
        },
    ),
    "record": (
        RECORD,
        {
            "passage": "Rome (CNN) Anna Rossi won again on Sunday.",
            "answer": "Rossi has won, her coach said",
            "references": (
                "Rossi has won, her coach said",
                "Anna Rossi has won, her coach said",
            ),
            "options": tuple(
                f"{who} has won, her coach said"
                for who in ("Rome", "Rossi", "Anna Rossi", "Weber")
            ),
        },
    ),
    "winogrande": (
        {
            "sentence": "John moved the couch from the garage to the yard because the _ was small.",
            "option1": "garage",
            "option2": "yard",
            "label": 0,
        },
        {
            "context": "John moved the couch from the garage to the yard because the",
            "answer": "garage was small.",
            "options": ("garage was small.", "yard was small."),
        },
    ),
    "story_cloze": (
        STORY | {"label": 2},
        {
            "context": STORY["context"],
            "answer": "Tom bought a violin.",
            "options": tuple(STORY["endings"]),
        },
    ),
    "hellaswag": (
        HELLASWAG,
        {
            "context": "How to brew tea\nBoil water.\nFill the kettle and",
            "answer": "wait. Pour it.",
            "options": ("wait. Pour it.", "go home.", "sing loudly.", "sell it."),
        },
    ),
    "true_case": (
        {"en": "The EU met in Paris.", "da": "EU mødtes i Paris."},
        {"lower": "the eu met in paris.", "answer": "The EU met in Paris."},
    ),
    "fix_punct": (
        {"en": "Yes, it's (almost) free!", "da": "Ja."},
        {"no_punct": "Yes its almost free", "answer": "Yes, it's (almost) free!"},
    ),
    "natural_questions": (
        {
            "question": "who wrote the first dictionary",
            "answer": ["Johnson", "Cawdrey"],
        },
        {
            "question": "who wrote the first dictionary",
            "answer": "Johnson",
            "references": ("Johnson", "Cawdrey"),
        },
    ),
    "sentiment140": (
        {
            "polarity": 4,
            "date": "",
            "query": "",
            "user": "u",
            "text": "@you so happy today! ",
        },
        {"answer": "positive"},
    ),
    "stsb": (
        {"sentence1": "A.", "sentence2": "B.", "label": 3.6, "idx": 1},
        {"answer": "4"},
    ),
    "gigaword": (
        {"document": "the bank cut rates .", "summary": "rates cut"},
        {"answer": "rates cut"},
    ),
    "samsum": (
        {
            "dialogue": "Al: hi\r\nBo: <file_photo> see?",
            "summary": "Bo sends a photo.",
            "id": "1",
        },
        {"answer": "Bo sends a photo."},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_row_of_the_real_dataset(name):
    row, wanted = CASES[name]
    example = get_task(name).example(row)
    assert {key: example[key] for key in wanted} == wanted


FILTERED = {
    "arc_challenge": arc("ABC", 1),
    "arc_easy": arc("ABC", 1),
    "wsc273": WSC273 | {"pronoun_start": 900, "pronoun_end": 904},
    "record": RECORD | {"answers": []},
    "winogrande": CASES["winogrande"][0] | {"label": -1},
    "story_cloze": STORY | {"label": 0},
    "hellaswag": HELLASWAG | {"label": -1},
    "true_case": {"en": "no capitals here", "da": ""},
    "fix_punct": {"en": "No marks here", "da": ""},
    "gigaword": {"document": "a UNK word", "summary": "word"},
    "sentiment140": CASES["sentiment140"][0] | {"polarity": 2},
    "aeslc": {"email_body": "", "subject_line": "Hello"},
    "snli": {"premise": "A man.", "hypothesis": "A dog.", "label": -1},
}


@pytest.mark.parametrize("name", FILTERED)
def test_a_row_that_is_left_out(name):
    assert get_task(name).example(FILTERED[name]) is None


def test_squad_rows():
    answers = {"text": ["the Nile", "Nile", "the Nile"], "answer_start": [3, 7, 3]}
    row = {
        "id": "1",
        "title": "River_Nile",
        "context": "On the Nile ...",
        "question": "Which river?",
        "answers": answers,
    }
    example = get_task("squad_v1").example(row)
    assert (example["answer"], example["references"]) == (
        "the Nile",
        ("the Nile", "Nile"),
    )
    none = {"text": [], "answer_start": []}
    example = get_task("squad_v2").example(
        row | {"answers": none, "plausible_answers": none, "is_impossible": True}
    )
    assert example["answer"] == "unanswerable"


def test_cnn_dailymail_keeps_what_comes_after_the_dateline():
    row = {
        "article": "(CNN) -- The mayor of Rome spoke -- at length -- on Sunday.",
        "highlights": "Mayor speaks .",
        "id": "1",
    }
    task = get_task("cnn_dailymail")
    assert (
        "The mayor of Rome spoke -- at length -- on Sunday."
        in task.templates[0].render(task.example(row | {"publisher": "cnn"}))[0]
    )
    assert (
        "(CNN)"
        not in task.templates[0].render(task.example(row | {"publisher": "cnn"}))[0]
    )


def test_multirc_takes_the_answer_of_its_own_row():
    row = {
        "paragraph": "Ann slept.",
        "question": "Who slept?",
        "answer": "Ann",
        "label": 1,
    }
    example = get_task("multirc").example(
        row | {"idx": {"paragraph": 0, "question": 1, "answer": 2}}
    )
    assert (example["response"], example["answer"]) == ("Ann", "yes")
    assert example["question_id"] == "0/1"


def test_practice_questions_of_multirc_have_four_different_answers():
    task = get_task("multirc")
    questions = {}
    for row in dataclasses.replace(task.sandbox, train=400).rows("train"):
        example = task.example(row)
        questions.setdefault(example["question_id"], []).append(example)
    assert len(questions) == 100
    for answers in questions.values():
        assert len({example["response"] for example in answers}) == 4
        asked = {(example["paragraph"], example["question"]) for example in answers}
        assert len(asked) == 1
    right = [
        sum(example["answer"] == "yes" for example in answers)
        for answers in questions.values()
    ]
    assert {0, 1, 2, 3} <= set(right)
