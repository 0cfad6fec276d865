"""Coreference: who or what is meant?"""

import re

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import coreference as practice

_SPACE_BEFORE_MARK = re.compile(r"^\s+(?=[,.;:!?]|'s\b)")


def _completion(context, endings, row):
    """The text to complete with its two endings; None where they are the same."""
    if endings[0] == endings[1]:
        return None
    return {
        "context": context,
        "endings": tuple(endings),
        "answer": endings[row["label"]],
    }


def _winogrande_fields(row):
    before, *after = " ".join(row["sentence"].split()).split("_")
    context = before.strip()
    if len(after) != 1 or not context or row["label"] not in (0, 1):
        return None
    rest = _SPACE_BEFORE_MARK.sub("", after[0])
    return _completion(
        context, [row[option].strip() + rest for option in ("option1", "option2")], row
    )


WINOGRANDE = register(
    TemplatedTask(
        name="winogrande",
        cluster="coreference",
        title="WinoGrande",
        source=Tfds(
            "winogrande:1.2.0",
            train="train_xl[:-200]",
            validation="train_xl[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.winogrande),
        fields=_winogrande_fields,
        options="endings",
        cloze=ClozeTemplate("{context} {answer}"),
        premise=("context",),
        templates=(
            FormatTemplate("{context}\n\nWhat comes next?\n\n{options}"),
            FormatTemplate(
                "The end of this text has been cut off, and only one of the two pieces below "
                "belongs to it.\n"
                "{context}\n{options}"
            ),
            FormatTemplate("Finish the story so that it makes sense: {context}"),
            FormatTemplate(
                "{options}\n\nOne of these endings fits the following words, the other does "
                "not.\n{context}"
            ),
            FormatTemplate(
                "I have written this much and got stuck.\n{context}\nWhich of these would be the "
                "right words to go on "
                "with?\n{options}"
            ),
            FormatTemplate(
                "Reading puzzle: who or what is spoken of?\n"
                "Start: {context}\nPick the end that matches the start.\n{options}"
            ),
            FormatTemplate(
                "{context}\nPlease take over here and finish what I was going to say."
            ),
            FormatTemplate(
                "The pupils had to complete what was on the blackboard.\nBlackboard: {context}\n"
                "Two of them came up with different endings. Which one did the teacher mark as "
                "right?\n{options}"
            ),
            FormatTemplate(
                "Use what you know about the world to complete the text.\n\n{context}\n\n{options}"
            ),
            FormatTemplate("First half: {context}\n{options}\nSecond half:"),
        ),
    )
)


def _wsc_fields(row):
    if row["label"] not in (0, 1):
        return None
    return {
        "context": row["text"].strip(),
        "text1": row["span1_text"].strip(),
        "text2": row["span2_text"].strip(),
        "answer": ("no", "yes")[row["label"]],
    }


WSC = register(
    TemplatedTask(
        name="wsc",
        cluster="coreference",
        title="WSC",
        dataset="wsc",
        source=Tfds(
            "super_glue/wsc:1.0.2",
            train="train[:-50]",
            validation="train[-50:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.wsc, train=504, validation=50),
        fields=_wsc_fields,
        options=("no", "yes"),
        cloze=ClozeTemplate(
            '{context} By "{text2}" they {answer} "{text1}".',
            {"no": "do not mean", "yes": "mean"},
        ),
        premise=("context",),
        templates=(
            FormatTemplate(
                '{context}\n\nIn the text above, does "{text2}" refer to "{text1}"?\n\n{options}'
            ),
            FormatTemplate(
                "Pronoun check\nText: {context}\nPronoun: {text2}\nSuggested meaning: {text1}\n"
                "Is the suggestion right?\n{options}"
            ),
            FormatTemplate(
                'Read the passage and say whether "{text1}" and "{text2}" are the same person or '
                "thing in it.\n\n"
                "{context}\n\n{options}"
            ),
            FormatTemplate(
                'A translator needs to know what "{text2}" stands for below, and guesses that it '
                'stands for "{text1}". '
                "Has she guessed right?\n{context}\n{options}"
            ),
            FormatTemplate(
                '{options}\n\nChoose one. If somebody crossed out "{text2}" here and wrote '
                '"{text1}" above it, '
                "would the message still be the same?\n{context}"
            ),
            FormatTemplate(
                "My daughter is learning to read and has just finished this bit.\n{context}\n"
                'She tells me that "{text2}" is another word for "{text1}" there. Has she '
                "understood it?\n{options}"
            ),
            FormatTemplate(
                'By "{text2}", does the author of these lines mean "{text1}"?\n\n{context}\n\n'
                "{options}"
            ),
            FormatTemplate(
                "Grammar homework: draw an arrow from the pronoun to the words that it stands "
                "for.\n\n{context}\n\n"
                'A classmate has drawn the arrow from "{text2}" to "{text1}". Is it drawn '
                "correctly?\n{options}"
            ),
            FormatTemplate(
                'Given: {context}\nClaim: "{text2}" = "{text1}"\nIs the claim true?\n{options}'
            ),
            FormatTemplate(
                "I am editing a manuscript, and I worry that this passage may be misread.\n"
                "{context}\n"
                'A test reader took "{text2}" to mean "{text1}". Was that what the writer had in '
                "mind?\n{options}"
            ),
        ),
    )
)

_POSSESSIVES = ("my", "his", "her", "its", "our", "their")


def _owner(name):
    return name if name.endswith(("'s", "s'")) else f"{name}'s"


def _wsc273_fields(row):
    text, start, end = row["text"], row["pronoun_start"], row["pronoun_end"]
    if row["label"] not in (0, 1) or not 0 < start < end <= len(text):
        return None
    context, rest = (
        text[:start].strip(),
        _SPACE_BEFORE_MARK.sub("", text[end:]).rstrip(),
    )
    if not context:
        return None
    names = [
        row[option].strip() for option in ("option1_normalized", "option2_normalized")
    ]
    # The options name the owner without 's: "his boat" is to become "Leo's boat".
    if text[start:end].lower() in _POSSESSIVES and re.match(r"\s\w", rest):
        names = [_owner(name) for name in names]
    return _completion(context, [name + rest for name in names], row)


WSC273 = register(
    TemplatedTask(
        name="wsc273",
        cluster="coreference",
        title="WSC273",
        dataset="wsc",
        source=Tfds("wsc273:1.0.0", test="test"),
        sandbox=Sandbox(practice.wsc273, train=200),
        fields=_wsc273_fields,
        options="endings",
        cloze=ClozeTemplate("{context} {answer}"),
        premise=("context",),
        templates=(
            FormatTemplate(
                "{context}\n\nChoose the words that complete this text.\n\n{options}"
            ),
            FormatTemplate(
                "The text stops just before it says who or what is meant. Which continuation "
                "agrees with the rest?\n\n"
                "{context}\n\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nOne of these would be an odd thing to say after the words below. "
                "Give the other one.\n\n"
                "{context}"
            ),
            FormatTemplate(
                "Sentence builder\nPart 1: {context}\nWhich block is part 2?\n{options}"
            ),
            FormatTemplate(
                "The dog tore this note in two, and under the sofa I found two scraps that could "
                "be the missing half. "
                "Which scrap is it?\nThe half I have: {context}\n{options}"
            ),
            FormatTemplate(
                "During a dictation you did not catch the last words. You wrote down only this "
                "much.\n{context}\n"
                "What were the last words?\n{options}"
            ),
            FormatTemplate(
                "To prove that it understands language, a computer has to choose the right end "
                "for each beginning.\n\n"
                "Beginning: {context}\n\n{options}\n\nRight end:"
            ),
            FormatTemplate(
                "A: {context}\nB: Wait, I can guess how you are going to finish!\n\n"
                "Which guess would be a sensible one?\n{options}"
            ),
            FormatTemplate(
                "Which addition turns the fragment into a reasonable statement?\n\nFragment: "
                "{context}\n\n{options}"
            ),
            FormatTemplate(
                "{context}\n{options}\nI want the version that any attentive reader would "
                "expect, please."
            ),
        ),
    )
)


def _definite_pronoun_resolution_fields(row):
    candidates = tuple(text.strip() for text in row["candidates"])
    if row["label"] not in (0, 1) or len(set(candidates)) != 2:
        return None
    return {
        "sentence": row["sentence"].strip(),
        "pronoun": row["pronoun"].strip(),
        "candidates": candidates,
        "answer": candidates[row["label"]],
    }


DEFINITE_PRONOUN_RESOLUTION = register(
    TemplatedTask(
        name="definite_pronoun_resolution",
        cluster="coreference",
        title="DPR",
        source=Tfds(
            "definite_pronoun_resolution:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.definite_pronoun_resolution, train=1120),
        fields=_definite_pronoun_resolution_fields,
        options="candidates",
        cloze=ClozeTemplate('{sentence} By "{pronoun}" they mean {answer}.'),
        premise=("sentence",),
        templates=(
            FormatTemplate(
                '{sentence}\n\nWho or what is meant by "{pronoun}"?\n\n{options}'
            ),
            FormatTemplate(
                'The word "{pronoun}" could be replaced by one of the two options without '
                "changing what the following "
                "sentence says. Name that option.\n\n{sentence}\n\n{options}"
            ),
            FormatTemplate(
                '{options}\n\nWhich of them does "{pronoun}" take the place of here?\n{sentence}'
            ),
            FormatTemplate(
                'My friend, who is new to English, is confused by the word "{pronoun}" in this '
                "line.\n{sentence}\n"
                "Which of these should I tell her it stands for?\n{options}"
            ),
            FormatTemplate(
                'Language test, question 5\nChoose the antecedent of "{pronoun}".\n\n{sentence}\n'
                "\n{options}"
            ),
            FormatTemplate(
                "This line is from a second-hand book: {sentence}\nThe previous owner has "
                "underlined "
                '"{pronoun}" and noted in the margin who or what is meant. What is in the '
                "margin?\n{options}"
            ),
            FormatTemplate(
                'Grammar alone does not settle who or what "{pronoun}" refers to below, but '
                "knowing how the world works "
                "does.\n{sentence}\nSo which of these is it?\n{options}"
            ),
            FormatTemplate(
                'First speaker: {sentence}\nSecond speaker: Sorry, I lost track. By "{pronoun}" '
                "you mean ___\n\n"
                "Fill in the blank.\n{options}"
            ),
            FormatTemplate(
                "Sentence: {sentence}\nPronoun: {pronoun}\n{options}\nReferent:"
            ),
            FormatTemplate(
                "You are drawing a picture for this sentence in a storybook.\n{sentence}\n"
                "To get it right, you have to decide which of the characters or things "
                '"{pronoun}" is. '
                "Which one is it?\n{options}"
            ),
        ),
    )
)
