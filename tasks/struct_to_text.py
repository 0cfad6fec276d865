"""Structure to text: put words, attributes or triples into sentences."""

import re

from flan_jax.tasks import FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import rouge
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import struct_to_text as practice


def _one_line(text):
    return " ".join(text.split())


def _right_answers(row):
    """Returns all right answers. A row of a train split has one; some rows have none."""
    texts = map(_one_line, (row["target"], *row["references"]))
    return tuple(dict.fromkeys(text for text in texts if text))


def _text_fields(row, name, structure):
    structure, answers = _one_line(structure), _right_answers(row)
    return (
        {name: structure, "answer": answers[0], "references": answers}
        if structure and answers
        else None
    )


def _common_gen_fields(row):
    return _text_fields(row, "concepts", ", ".join(row["concepts"]))


COMMON_GEN = register(
    TemplatedTask(
        name="common_gen",
        cluster="struct_to_text",
        title="CommonGen",
        source=Tfds(
            "gem/common_gen:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(
            practice.common_gen,
            train=1200,
            numbered=("gem_id", "gem_parent_id", "concept_set_id"),
        ),
        fields=_common_gen_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "Write a sentence that has all of these words in it: {concepts}."
            ),
            FormatTemplate(
                "Concepts: {concepts}\n\nDescribe, in one sentence, an everyday scene in which "
                "every one of them "
                "appears."
            ),
            FormatTemplate(
                "{concepts}\n\nWhat might be going on here? One sentence will do."
            ),
            FormatTemplate(
                "Tags of a photo: {concepts}\n\nSuggest a caption that makes use of every tag."
            ),
            FormatTemplate(
                "The teacher has put these words on the board: {concepts}. You may change their "
                "forms and their order, "
                "but you must leave none out. What is your sentence?"
            ),
            FormatTemplate("Words: {concepts}\nSentence:"),
            FormatTemplate(
                "Can you come up with a sentence that makes sense and brings all of the "
                "following together? {concepts}"
            ),
            FormatTemplate(
                "{answer}\n\nWhat are the main things and actions in this text? List them in "
                "their dictionary form, "
                "with commas in between.",
                "{concepts}",
                turned_around=True,
            ),
            FormatTemplate(
                "Somebody was given a handful of words to put into a sentence, and came up with "
                "this: {answer}\n"
                "Which words were they? Put commas between them.",
                "{concepts}",
                turned_around=True,
            ),
            FormatTemplate(
                'Make up an exercise for a language class. On the first line, after "Words:", '
                "give a few words that "
                'have to go into one sentence; on the second, after "Solution:", give such a '
                "sentence.",
                "Words: {concepts}\nSolution: {answer}",
                turned_around=True,
            ),
        ),
    )
)


_CELL_IN_BRACKETS = re.compile(r"\[[^\]]*\]")
"""DART's marks of what belongs to a whole table. A reader has no use for them."""


def _dart_fields(row):
    triples = (
        _one_line(_CELL_IN_BRACKETS.sub(" ", triple)) for triple in row["tripleset"]
    )
    return _text_fields(
        row, "triples", "; ".join(triple for triple in triples if triple)
    )


DART = register(
    TemplatedTask(
        name="dart",
        cluster="struct_to_text",
        title="DART",
        source=Tfds(
            "gem/dart:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.dart, numbered=("gem_id", "gem_parent_id", "dart_id")),
        fields=_dart_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{triples}\n\nWrite a short text that gives this information."
            ),
            FormatTemplate(
                "The line below comes out of a database, with semicolons between its facts. "
                "Report what it says in "
                "fluent English.\n\n{triples}"
            ),
            FormatTemplate("Facts: {triples}\nIn words:"),
            FormatTemplate(
                "{triples}\n\nThis record is to be announced on the radio. Write what the "
                "announcer should say."
            ),
            FormatTemplate(
                "You look after an archive, and a visitor cannot make sense of this entry:\n"
                "{triples}\n"
                "Explain to the visitor what it says."
            ),
            FormatTemplate(
                "Join the pieces into something that reads well. Nothing may get lost, and "
                "nothing may be "
                "added.\n\n{triples}"
            ),
            FormatTemplate(
                "I copied this out of a spreadsheet and don't know how to phrase it for my "
                "report:\n\n{triples}\n\n"
                "What should I write?"
            ),
            FormatTemplate(
                "User: Can I have the following as ordinary prose? {triples}\nAssistant:"
            ),
            FormatTemplate(
                "{answer}\n\nTake this text apart into its single facts and write them down one "
                "after another, "
                "separated by semicolons.",
                "{triples}",
                turned_around=True,
            ),
            FormatTemplate(
                "A few cells of a table were turned into this text: {answer}\n"
                "Restore them. For each fact, give the thing it is about, the heading and the "
                "value, with semicolons "
                "between the facts.",
                "{triples}",
                turned_around=True,
            ),
        ),
    )
)


def _e2e_nlg_fields(row):
    listing = row["meaning_representation"].replace("[", " = ").replace("]", "")
    return _text_fields(row, "listing", listing)


E2E_NLG = register(
    TemplatedTask(
        name="e2e_nlg",
        cluster="struct_to_text",
        title="E2E NLG",
        source=Tfds(
            "gem/e2e_nlg:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(
            practice.e2e_nlg, train=1200, numbered=("gem_id", "gem_parent_id")
        ),
        fields=_e2e_nlg_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{listing}\n\nTurn this entry into a few lines for a restaurant guide."
            ),
            FormatTemplate("Describe the place.\n{listing}"),
            FormatTemplate(
                "Here is all that we know about a place that serves food or drink. Put it in plain "
                "English.\n\n{listing}"
            ),
            FormatTemplate(
                "A friend is looking for somewhere to go. Tell her about this place, and stick "
                "to the facts.\n\n"
                "Facts: {listing}"
            ),
            FormatTemplate("Data: {listing}\nText:"),
            FormatTemplate(
                "{listing}\n\nYou see this on a screen. Pass it on, in whole sentences, to "
                "someone who cannot see it."
            ),
            FormatTemplate(
                "Every detail on the next line should be mentioned, and nothing should be made "
                "up.\n{listing}\n"
                "Now write the description."
            ),
            FormatTemplate(
                "The tourist office keeps its records as attributes and values. For the brochure "
                "they have to become "
                "flowing text.\n\nRecord: {listing}\nBrochure:"
            ),
            FormatTemplate("Say this the way people talk, not as a list: {listing}"),
            FormatTemplate(
                "What kind of place is it, and what else should a guest know? Answer in full "
                "sentences, going by these "
                "notes.\n\n{listing}"
            ),
        ),
    )
)


def _web_nlg_en_fields(row):
    triples = "; ".join(triple.strip() for triple in row["input"])
    return _text_fields(row, "triples", triples.replace("_", " ").replace(" | ", ", "))


WEB_NLG_EN = register(
    TemplatedTask(
        name="web_nlg_en",
        cluster="struct_to_text",
        title="WebNLG",
        source=Tfds(
            "gem/web_nlg_en:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(
            practice.web_nlg_en,
            train=1200,
            numbered=("gem_id", "gem_parent_id", "webnlg_id"),
        ),
        fields=_web_nlg_en_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate("{triples}\n\nExpress this in natural language."),
            FormatTemplate(
                "A knowledge base stores facts as subject, relation and object. "
                "Write out in sentences what it says here.\n\n{triples}"
            ),
            FormatTemplate("Triples: {triples}\nVerbalization:"),
            FormatTemplate(
                "What do we learn from the following data? Reply in complete sentences.\n{triples}"
            ),
            FormatTemplate(
                "An encyclopedia needs an article that opens with the following information. "
                "Write the "
                "opening.\n\n{triples}"
            ),
            FormatTemplate(
                "My notes look like this: {triples}\n\nI need a proper text with exactly the "
                "same content. "
                "Could you write it for me?"
            ),
            FormatTemplate("Data in, prose out.\n\nIn: {triples}\nOut:"),
            FormatTemplate(
                "A voice assistant looks something up and finds this: {triples}\n"
                "What should it say aloud? The reply has to be complete and sound natural."
            ),
            FormatTemplate(
                "{answer}\n\nWhich facts does the text above contain? Give them as subject, "
                "relation, object, with a "
                "semicolon between facts.",
                "{triples}",
                turned_around=True,
            ),
            FormatTemplate(
                "Fill a knowledge base from running text. Each entry names a thing, a relation "
                "and another thing or a "
                "value, with commas in between; the entries themselves are separated by "
                "semicolons.\n"
                "Text: {answer}\nEntries:",
                "{triples}",
                turned_around=True,
            ),
        ),
    )
)
