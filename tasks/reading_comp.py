"""Reading comprehension: answer from a text, or from a fact and what goes with it."""

import re
from urllib.parse import unquote

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import (
    accuracy,
    drop,
    exact_match,
    group_exact_match,
    token_f1,
    yes_f1,
)
from flan_jax.tasks.practice_world import Sandbox, sentence
from tasks.practice import reading_comp as practice


def _bool_q_fields(row):
    if row["answer"] not in (False, True):
        return None
    return {
        "question": row["question"].strip().rstrip("?").rstrip(),
        "title": row["title"].strip(),
        "passage": row["passage"].strip(),
        "answer": ("no", "yes")[row["answer"]],
    }


BOOL_Q = register(
    TemplatedTask(
        name="bool_q",
        cluster="reading_comp",
        title="BoolQ",
        source=Tfds(
            "bool_q:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.bool_q),
        fields=_bool_q_fields,
        options=("no", "yes"),
        cloze=ClozeTemplate(
            '{title}\n{passage}\n"{question}?" somebody asks. The answer is {answer}.'
        ),
        premise=("title", "passage"),
        templates=(
            FormatTemplate(
                "{title}\n\n{passage}\n\nQuestion: {question}?\n\n{options}"
            ),
            FormatTemplate(
                "Answer this with the help of the text below: {question}?\n\n{passage}\n\n{options}"
            ),
            FormatTemplate(
                "Search query: {question}\nBest match: {title}\nExcerpt: {passage}\n"
                "Which answer to the query does the excerpt give?\n{options}"
            ),
            FormatTemplate(
                "Study the entry, then take the test. It has one question.\n\n{title}\n"
                "{passage}\n\n"
                "Test: {question}?\n\n{options}"
            ),
            FormatTemplate(
                '{options}\n\nPick the one that answers "{question}?" according to this '
                "passage.\n\n{passage}"
            ),
            FormatTemplate(
                "I have been wondering, {question}? All I could find was the following. What do "
                "you make of it?\n\n"
                "{passage}\n\n{options}"
            ),
            FormatTemplate(
                "A stranger comes up to you and asks, {question}?\nAs it happens, you have just "
                "read this:\n{passage}\n"
                "What do you tell the stranger?\n{options}"
            ),
            FormatTemplate(
                "A page titled {title} says:\n{passage}\nGoing by that page, {question}?\n{options}"
            ),
            FormatTemplate("{passage}\n\nYes or no, {question}?"),
            FormatTemplate(
                "Two friends cannot agree on this: {question}?\nThey look it up and find the "
                "following.\n\n{passage}\n\nWhat is the verdict?\n{options}"
            ),
        ),
    )
)


def _squad_fields(row, answers):
    references = tuple(dict.fromkeys(text.strip() for text in answers if text.strip()))
    if not references:
        return None
    return {
        "title": unquote(row["title"]).replace("_", " ").strip(),
        "context": row["context"].strip(),
        "question": row["question"].strip(),
        "answer": references[0],
        "references": references,
    }


def _squad_v1_fields(row):
    return _squad_fields(row, row["answers"]["text"])


SQUAD_V1 = register(
    TemplatedTask(
        name="squad_v1",
        cluster="reading_comp",
        title="SQuAD 1.1",
        dataset="squad",
        source=Tfds(
            "squad/v1.1:3.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.squad_v1, numbered=("id",)),
        fields=_squad_v1_fields,
        metrics=(token_f1, exact_match),
        templates=(
            FormatTemplate(
                "{title}\n\n{context}\n\nQuestion: {question}\n\nAnswer in a few words, taken "
                "from the text."
            ),
            FormatTemplate(
                "Find the place in this paragraph that answers the question, and copy the words "
                "that you find "
                "there.\n\nParagraph: {context}\n\nQuestion: {question}\n\nWords:"
            ),
            FormatTemplate(
                "{question}\n\nThe answer is hidden in the lines below. Quote it and nothing "
                "else.\n\n{context}"
            ),
            FormatTemplate(
                "I am getting ready for a pub quiz, and one of my cards came without its answer. "
                "Could you look it up "
                "for me? Just the bare answer, please, exactly as my source has it.\n\n"
                "Topic: {title}\nCard: {question}\n\nSource: {context}"
            ),
            FormatTemplate(
                "Entry: {title}\n{context}\n\nA visitor to the encyclopedia types in:\n"
                "{question}\n\n"
                "Shortest excerpt that settles the matter:"
            ),
            FormatTemplate(
                "{context}\n\nHaving read this, a pupil is asked:\n{question}\n\nWithout a word, "
                "she puts her finger "
                "on the answer in the text. Which words is she pointing at?"
            ),
            FormatTemplate(
                "Reading test\n\nA. Text\n{context}\n\nB. Question\n{question}\n\nC. Instructions\n"
                "Respond with a phrase from A that answers B. Anything longer than necessary "
                "will lose marks."
            ),
            FormatTemplate(
                "- What have you got there?\n- A page of an encyclopedia. The heading says: "
                "{title}\n"
                "- Oh, then tell me something. {question}\n"
                "- Well, it says here:\n{context}\n- That was rather a lot. Could you give me "
                "only the part that "
                "answers my question?"
            ),
            FormatTemplate(
                "{context}\n\nThink of a question about the text above to which one can reply "
                "with just these words "
                "from it: {answer}",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "Somebody cut this paragraph out of a long encyclopedia article and lost the "
                "rest. What was the "
                "article called, most likely?\n\n{context}",
                "{title}",
                turned_around=True,
            ),
        ),
    )
)


def _squad_v2_fields(row):
    return _squad_fields(
        row, ["unanswerable"] if row["is_impossible"] else row["answers"]["text"]
    )


SQUAD_V2 = register(
    TemplatedTask(
        name="squad_v2",
        cluster="reading_comp",
        title="SQuAD 2.0",
        dataset="squad",
        source=Tfds(
            "squad/v2.0:3.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.squad_v2, numbered=("id",)),
        fields=_squad_v2_fields,
        metrics=(token_f1, exact_match),
        templates=(
            FormatTemplate(
                "From an article on {title}:\n\n{context}\n\n{question}\n\nReply in the words of "
                "the article, or with "
                '"unanswerable" if this part of it does not say.'
            ),
            FormatTemplate(
                "Not every question can be answered from the text that comes with it. If the one "
                "below can, write down "
                'the few words of the text that do so. If it cannot, write "unanswerable".\n\n'
                "Text: {context}\n\nQuestion: {question}"
            ),
            FormatTemplate(
                "Context:\n{context}\n\nQuestion:\n{question}\n\nAnswer (a span of the context, "
                'or "unanswerable"):'
            ),
            FormatTemplate(
                "You are a librarian who never guesses. To a visitor's question you read out the "
                "words on the page "
                'that answer it; if there are none, you say "unanswerable".\n\n'
                "Visitor: {question}\nPage: {context}\nYou:"
            ),
            FormatTemplate(
                "Beware, this may be a trick question!\n\n{question}\n\nThe only evidence that "
                "you may use is what "
                "follows. If it leaves the question open, you have been tricked: reply "
                '"unanswerable". '
                "Otherwise quote the evidence, as briefly as you can.\n\n{context}"
            ),
            FormatTemplate(
                "Let us play a game. I ask, and you search a passage for the answer. Found it? "
                "Then read it out, "
                'without a word more. Not there? Then call out "unanswerable".\n\n'
                "Your passage: {context}\n\nMy question: {question}"
            ),
            FormatTemplate(
                "EXAMINATION IN READING, PART 2\nCandidates cite the phrase that answers the "
                "item, word for word, or "
                'enter "unanswerable" where the text provides no answer.\n\n'
                "{title}\n{context}\n\nItem 1. {question}"
            ),
            FormatTemplate(
                "I skimmed this section on {title} and did not see the answer to my question. "
                "Perhaps there is none; "
                'in that case just tell me "unanswerable". If there is one, which words did I '
                "miss?\n\n"
                "My question: {question}\n\nThe section: {context}"
            ),
            FormatTemplate(
                "Extract from the document the phrase that responds to the query. Should the "
                "document contain no such "
                'phrase, return "unanswerable".\n\nQuery: {question}\nDocument: {context}\nResult:'
            ),
            FormatTemplate(
                "{context}\n\nA reader of these lines would like to know the following.\n"
                "{question}\n\n"
                "Do the lines tell? If so, repeat the relevant words. If not, the single word "
                '"unanswerable" will do.'
            ),
        ),
    )
)

_DROP_DATE = re.compile(r"(\d*)-([A-Za-z.]+)-(\d+)|--(\d+)")


def _drop_answer(text):
    """Turns TFDS's "1582-October-12", "-October-12" or "--12" into "12 October 1582"."""
    date = _DROP_DATE.fullmatch(text.strip())
    return " ".join(filter(None, reversed(date.groups()))) if date else text.strip()


def _drop_fields(row):
    answers = map(_drop_answer, (row["answer"], *row["validated_answers"]))
    references = tuple(dict.fromkeys(filter(None, answers)))
    if not references:
        return None
    return {
        "passage": row["passage"].strip(),
        "question": row["question"].strip(),
        "answer": references[0],
        "references": references,
    }


DROP = register(
    TemplatedTask(
        name="drop",
        cluster="reading_comp",
        title="DROP",
        source=Tfds(
            "drop:2.0.0", train="train[:-200]", validation="train[-200:]", test="dev"
        ),
        sandbox=Sandbox(practice.drop, numbered=("query_id",)),
        fields=_drop_fields,
        metrics=(drop,),
        templates=(
            FormatTemplate(
                "{passage}\n\n{question}\n\nAnswer with a number, a date, a name or a short phrase."
            ),
            FormatTemplate(
                "To solve this you may have to count, compare, add or subtract. Give the result "
                "only, not the "
                "steps.\n\nPassage: {passage}\n\nProblem: {question}\n\nResult:"
            ),
            FormatTemplate(
                "{question}\n\nWork that out from the report below, and give it in as few words "
                "or digits as you "
                "can.\n\n{passage}"
            ),
            FormatTemplate(
                "A newspaper's fact checker gets a note from the editor.\n\nThe note: "
                "{question}\n\nThe story in "
                "question: {passage}\n\nThe checker scribbles the answer under the note, a "
                "figure or a few words, and "
                "sends it back. What did the checker write?"
            ),
            FormatTemplate(
                "{passage}\n\nThe details you need for the following are all there, though "
                "perhaps not side by side.\n"
                "{question}\nBe exact, and be brief."
            ),
            FormatTemplate(
                "Hey, you are good with facts and figures, aren't you? I can't make my way "
                "through all of this:\n\n"
                "{passage}\n\nAnd here is what I need from it: {question}\n\nNo explanations "
                "please, just tell me who, "
                "what, when or how many!"
            ),
            FormatTemplate(
                "Problem sheet, no. 1\nQuestion: {question}\nData: {passage}\n"
                "Enter a number, a date, or words from the question or the data:"
            ),
            FormatTemplate(
                "Write a passage rich in names, events and numbers. It should allow a reader to "
                "work out this answer "
                "to this question.\n\nQuestion: {question}\nAnswer: {answer}",
                "{passage}",
                turned_around=True,
            ),
            FormatTemplate(
                "{passage}\n\nAsk something about this text that takes a moment's thought. The "
                "answer has to come out "
                "as follows: {answer}",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "In a book of puzzles, the print of one question has faded. Restore it with the "
                "help of the solution "
                "and the text that it is about.\n\nSolution: {answer}\n\nText: {passage}",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)


def _multirc_fields(row):
    response = row["answer"].strip()
    if row["label"] not in (0, 1) or not response:
        return None
    idx = row["idx"]
    return {
        "paragraph": row["paragraph"].strip(),
        "question": row["question"].strip(),
        "question_id": f"{idx['paragraph']}/{idx['question']}",
        "response": response,
        "answer": ("no", "yes")[row["label"]],
    }


MULTIRC = register(
    TemplatedTask(
        name="multirc",
        cluster="reading_comp",
        title="MultiRC",
        source=Tfds(
            "super_glue/multirc:1.0.2",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        # its idx is not one number but three, which the practice rows set themselves
        sandbox=Sandbox(practice.multirc, numbered=()),
        fields=_multirc_fields,
        options=("no", "yes"),
        metrics=(accuracy, yes_f1, group_exact_match),
        group="question_id",
        cloze=ClozeTemplate(
            "{paragraph}\n{question} Somebody answers: {response} That is {answer}.",
            {"no": "wrong", "yes": "right"},
        ),
        premise=("paragraph",),
        templates=(
            FormatTemplate(
                "{paragraph}\n\nQuestion: {question}\n\nProposed answer: {response}\n\nIs the "
                "proposed answer "
                "correct?\n\n{options}"
            ),
            FormatTemplate(
                "Multiple choice, one box at a time. More than one box may have to be ticked.\n\n"
                "{paragraph}\n\n"
                "{question}\n[ ] {response}\n\nDoes this box get a tick?\n{options}"
            ),
            FormatTemplate(
                "In class today we read a text, and then the teacher asked me a question about "
                "it.\n\n"
                "The text: {paragraph}\n\nThe teacher: {question}\n\nMe: {response}\n\nWas I "
                "right?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nIs the reply true? Decide between the two words above, and go by "
                "the source alone.\n\n"
                "Inquiry: {question}\nReply: {response}\nSource: {paragraph}"
            ),
            FormatTemplate(
                "First look at this question and at what somebody replied.\n{question}\n"
                "{response}\n\nNow read on.\n"
                "{paragraph}\n\nDoes what you have read bear that person out?\n{options}"
            ),
            FormatTemplate(
                "Quiz host: {question}\nContestant: {response}\n\nYou are the referee and "
                "consult your papers:\n"
                "{paragraph}\n\nDo you award the point?\n{options}"
            ),
            FormatTemplate(
                "There can be several good answers to one question, and of course many bad ones. "
                "After the passage you "
                "will see one answer; decide if it is good.\n\nQuestion: {question}\n\nPassage: "
                "{paragraph}\n\n"
                "Answer: {response}\n\n{options}"
            ),
            FormatTemplate(
                "{paragraph}\n\nReaders of these lines were asked a question, and one of them "
                "sent in the answer that "
                "stands under it. Should it be accepted as accurate?\n\n{question}\n{response}\n"
                "\n{options}"
            ),
            FormatTemplate(
                "Text: {paragraph}\n\nWhat was asked about the text: (illegible)\nWhat was "
                "answered: {response}\n"
                "Was the answer right? {answer}\n\nFill in what cannot be read.",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "Make up an item for a reading test on this passage.\n\n{paragraph}\n\n"
                "One of the choices that you offer will be: {response}\nIs it to be a correct "
                "choice? {answer}\n\n"
                "What is your question?",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)


def _openbookqa_fields(row):
    if row["answerKey"] not in range(4):
        return None
    question = row["question"]
    choices = tuple(question[f"choice_{letter}"].strip() for letter in "ABCD")
    fact = row["fact1"].strip().rstrip(".")
    return {
        "question": question["stem"].strip(),
        "fact": sentence(f"{fact}.") if fact else "",
        "choices": choices,
        "answer": choices[row["answerKey"]],
    }


OPENBOOKQA = register(
    TemplatedTask(
        name="openbookqa",
        cluster="reading_comp",
        title="OpenBookQA",
        source=Tfds(
            "openbookqa:0.1.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.openbookqa),
        fields=_openbookqa_fields,
        options="choices",
        cloze=ClozeTemplate("{fact} {question} {answer}"),
        premise=("fact",),
        templates=(
            # Without facts, the two templates that show one begin with their second line.
            FormatTemplate(
                "{fact}\n\n{question}\n\nWhich of these is the best answer or ending?\n\n{options}"
            ),
            FormatTemplate(
                "{fact}\nPut your knowledge of the world to use here.\n{question}\n{options}"
            ),
            FormatTemplate(
                "The books are open, and the teacher reads out: {question}\nWhat should the "
                "class reply?\n{options}"
            ),
            FormatTemplate(
                "Answer the question or complete the statement, whichever it is.\n\n{question}\n"
                "\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nSelect what goes best with the following. {question}"
            ),
            FormatTemplate(
                "Front of the flash card: {question}\nWhat is printed on the back?\n{options}"
            ),
            FormatTemplate(
                "In a science museum a screen shows this line: {question}\nThere are four "
                "buttons under it. "
                "Which one should a visitor press?\n{options}"
            ),
            FormatTemplate(
                "Work backwards. This solves a small puzzle about how the world works: {answer}\n"
                "What is the puzzle?",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "{options}\n\nWrite a question or the start of a sentence for which only one of "
                "these four will do, "
                "namely this one: {answer}",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "{question}\n\nTurn this into an item of a multiple-choice test. List four "
                "options for it, and below "
                "them the correct one.",
                "{options}\nCorrect: {answer}",
                turned_around=True,
            ),
        ),
    )
)
