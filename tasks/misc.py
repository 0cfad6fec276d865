"""Miscellany: word senses, question types, grammar, spelling, equations, conversations."""

import re

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import (
    accuracy,
    edit_similarity,
    exact_match,
    matthews,
    token_f1,
)
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import misc as practice

_WIC_OPTIONS = ("different meanings", "the same meaning")


def _wic_fields(row):
    if row["label"] < 0:
        return None
    return {
        "word": row["word"].strip(),
        "sentence1": row["sentence1"].strip(),
        "sentence2": row["sentence2"].strip(),
        "answer": _WIC_OPTIONS[row["label"]],
    }


WIC = register(
    TemplatedTask(
        name="wic",
        cluster="misc",
        title="WiC",
        source=Tfds(
            "super_glue/wic:1.0.2",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.wic),
        fields=_wic_fields,
        options=_WIC_OPTIONS,
        cloze=ClozeTemplate(
            '{sentence1} {sentence2} In these two sentences "{word}" has {answer}.'
        ),
        premise=("sentence1",),
        templates=(
            FormatTemplate(
                '{sentence1}\n{sentence2}\n\nWhat does "{word}" have in these two sentences?\n\n'
                "{options}"
            ),
            FormatTemplate(
                "Compare how a word is used.\nWord: {word}\nFirst use: {sentence1}\nSecond use: "
                "{sentence2}\n{options}"
            ),
            FormatTemplate(
                'Imagine that you look up "{word}" in a dictionary. Would the same definition do '
                "for both of these "
                "lines?\n- {sentence1}\n- {sentence2}\n\n{options}"
            ),
            FormatTemplate(
                '{options}\n\nChoose what a teacher should say about the word "{word}" in these '
                "two examples.\n"
                "A: {sentence1}\nB: {sentence2}"
            ),
            FormatTemplate(
                'A learner of English knows what "{word}" means in this sentence:\n{sentence1}\n'
                "Now the learner comes "
                "across this one:\n{sentence2}\nAre these two different meanings, or is it the "
                "same meaning?"
            ),
            FormatTemplate(
                "[{word}] {sentence1}\n[{word}] {sentence2}\nOne sense or two?\n{options}"
            ),
            FormatTemplate(
                'Many words can be read in more than one way. Think about "{word}" in the '
                "sentence below.\n"
                "{sentence1}\n"
                "Then look at the same word here:\n{sentence2}\nWhat did you find?\n{options}"
            ),
            FormatTemplate(
                '{sentence1}\n{sentence2}\n\nThese share the word "{word}". Do they share its '
                "sense too?\n{options}"
            ),
            FormatTemplate(
                "If I translated these into another language, could I expect to use one word for "
                '"{word}" both times?\n'
                "1) {sentence1}\n2) {sentence2}\n{options}"
            ),
            FormatTemplate(
                '{sentence1}\n\nKeep in mind what "{word}" means there. Does it mean that in the '
                "next one as well?\n\n"
                "{sentence2}\n\n{options}"
            ),
        ),
    )
)

_TREC_OPTIONS = (
    "description",
    "entity",
    "abbreviation",
    "human",
    "numeric",
    "location",
)


def _trec_fields(row):
    if row["label-coarse"] < 0:
        return None
    return {
        "question": row["text"].strip(),
        "answer": _TREC_OPTIONS[row["label-coarse"]],
    }


TREC = register(
    TemplatedTask(
        name="trec",
        cluster="misc",
        title="TREC",
        source=Tfds(
            "trec:1.0.0", train="train[:-200]", validation="train[-200:]", test="test"
        ),
        sandbox=Sandbox(practice.trec, train=2000),
        fields=_trec_fields,
        options=_TREC_OPTIONS,
        cloze=ClozeTemplate(
            '"{question}" To answer this, one has to name {answer}.',
            {
                "description": "a description",
                "entity": "a thing",
                "abbreviation": "an abbreviation",
                "human": "a person",
                "numeric": "a number",
                "location": "a place",
            },
        ),
        templates=(
            FormatTemplate(
                "{question}\n\nWhat kind of answer does this ask for?\n\n{options}"
            ),
            FormatTemplate(
                "Do not answer this question, but say how you would classify it.\nQuestion: "
                "{question}\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nSort this question into one of six groups by what it asks for.\n"
                "{question}"
            ),
            FormatTemplate(
                "A search engine has received this query:\n{question}\nWhat does it have to look "
                "for: a person, a "
                "place, a number, a thing, an explanation or what letters stand for?\n{options}"
            ),
            FormatTemplate(
                "A question has come in.\n{question}\nThe answer will have to be of this type:\n"
                "{options}"
            ),
            FormatTemplate(
                "{question}\nSix types of answer are possible: description, entity, "
                "abbreviation, human, numeric and "
                "location. Which of them is wanted here?"
            ),
            FormatTemplate(
                "A quiz master files question cards in six drawers by type of answer. Where does "
                "this one go?\n\n"
                "Card: {question}\n\n{options}"
            ),
            FormatTemplate(
                "Somebody wants to know this:\n{question}\nWhich of these are they after?\n"
                "{options}"
            ),
            FormatTemplate(
                "Label the question with the category of its answer.\n\nQuestion: {question}\n"
                "{options}\nCategory:"
            ),
            FormatTemplate(
                "Think of a question for a trivia night. Kind of answer that is wanted: {answer}",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)

_COLA_OPTIONS = ("unacceptable", "acceptable")


def _cola_fields(row):
    if row["label"] < 0:
        return None
    return {"sentence": row["sentence"].strip(), "answer": _COLA_OPTIONS[row["label"]]}


COLA = register(
    TemplatedTask(
        name="cola",
        cluster="misc",
        title="CoLA",
        source=Tfds(
            "glue/cola:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.cola, train=2000),
        fields=_cola_fields,
        options=_COLA_OPTIONS,
        metrics=(accuracy, matthews),
        cloze=ClozeTemplate(
            '"{sentence}" To anybody who speaks English, this sentence sounds {answer}.',
            {"unacceptable": "wrong", "acceptable": "right"},
        ),
        templates=(
            FormatTemplate(
                "{sentence}\n\nIs the grammar of this sentence acceptable in English?\n\n{options}"
            ),
            FormatTemplate(
                "{sentence}\nWould a native speaker put it like that, or stumble over it?\n"
                "{options}"
            ),
            FormatTemplate(
                "You are proof-reading a magazine. This line has just come in.\n\n{sentence}\n\n"
                "Is its grammar fit to print?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nGive your verdict on the grammar of the following sentence.\n"
                "{sentence}"
            ),
            FormatTemplate(
                "Sentence: {sentence}\nGrammaticality: acceptable or unacceptable?"
            ),
            FormatTemplate(
                "Never mind what it says. Is it put together correctly?\n{sentence}\n{options}"
            ),
            FormatTemplate(
                "A linguist collects sentences, good ones and bad ones, and marks each of them.\n"
                "Next in the collection: {sentence}\nWhich mark does it get?\n{options}"
            ),
            FormatTemplate(
                "My essay has this sentence in it:\n{sentence}\nWill my English teacher accept "
                "that?\n{options}"
            ),
            FormatTemplate(
                "Write down one sentence for a grammar quiz. To a careful reader it should be "
                "{answer}.",
                "{sentence}",
                turned_around=True,
            ),
            FormatTemplate(
                "From a grammarian's list of examples\nGrammar: {answer}\nSentence:",
                "{sentence}",
                turned_around=True,
            ),
        ),
    )
)


def _math_dataset_fields(row):
    return {"question": row["question"].strip(), "answer": row["answer"].strip()}


MATH_DATASET = register(
    TemplatedTask(
        name="math_dataset",
        cluster="misc",
        title="DeepMind Mathematics",
        source=Tfds(
            "math_dataset/algebra__linear_1d:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.math_dataset),
        fields=_math_dataset_fields,
        templates=(
            FormatTemplate("{question}\n\nGive the solution as a whole number."),
            FormatTemplate(
                "Algebra test, problem 1\n\n{question}\n\nWrite only the number in the answer box:"
            ),
            FormatTemplate(
                "{question}\nIn other words, which number makes the two sides equal?"
            ),
            FormatTemplate(
                "Student: I am stuck on this one. {question}\nTutor, who never says more than "
                "the value of the unknown:"
            ),
            FormatTemplate(
                "Isolate the variable, then work out its value. Your reply should be an "
                "integer.\n\n{question}"
            ),
            FormatTemplate(
                "My calculator cannot handle letters, so I have to ask you.\n{question}\n"
                "Skip the explanation, please. All I want to know is which number the letter "
                "stands for."
            ),
            FormatTemplate(
                "Input to the equation solver: {question}\nOutput of the solver, a bare integer:"
            ),
            FormatTemplate(
                "The back of the book lists just the results of the exercises. What does it list "
                "for this one?\n"
                "Exercise: {question}"
            ),
            FormatTemplate(
                "With one unknown and one linear equation, exactly one value will do. Find it "
                "and state it without "
                "any steps.\n\n{question}"
            ),
            FormatTemplate(
                "Task: {question}\nSolution (digits only, with a minus sign if it is negative):"
            ),
        ),
    )
)


def _coqa_fields(row):
    questions, answers = row["questions"], row["answers"]["input_text"]
    if not questions or len(questions) != len(answers):
        return None
    return {
        "story": row["story"].strip(),
        "questions": _numbered(questions),
        "answer": _numbered(answers),
    }


def _numbered(lines):
    return "\n".join(
        f"{number}. {' '.join(line.split())}"
        for number, line in enumerate(lines, start=1)
    )


COQA = register(
    TemplatedTask(
        name="coqa",
        cluster="misc",
        title="CoQA",
        source=Tfds(
            "coqa:1.0.0", train="train[:-100]", validation="train[-100:]", test="test"
        ),
        sandbox=Sandbox(practice.coqa, validation=100),
        fields=_coqa_fields,
        metrics=(token_f1, exact_match),
        templates=(
            FormatTemplate(
                "{story}\n\n{questions}\n\nAnswer each question on a line of its own, with its "
                "number in front."
            ),
            FormatTemplate(
                "Read the text and the questions about it. Reply briefly to each of them, in the "
                "same order and under "
                'the same number; put "unknown" where the text does not tell.\n\n'
                "Text: {story}\n\nQuestions:\n{questions}"
            ),
            FormatTemplate(
                "An interviewer has prepared these questions for someone who knows a certain "
                "text well:\n{questions}"
                "\n\nThis is the text:\n{story}\n\nBe that person, and write your short replies "
                "as a numbered list."
            ),
            FormatTemplate(
                "Reading test\n\n{story}\n\nThe questions build on one another, so a word such as "
                '"she" or "there" may point back to an earlier one.\n{questions}\n\nNumbered '
                "answers:"
            ),
            FormatTemplate(
                "A friend who has not read the following keeps asking about it.\n\n{story}\n\n"
                "This is everything that your friend wants to know:\n{questions}\n\n"
                "Short answers will do. Please keep the numbers."
            ),
            FormatTemplate(
                "{questions}\n\nLook all of this up in the passage below. Then list what you "
                "have found, one numbered "
                "line for each question.\n\n{story}"
            ),
            FormatTemplate(
                "You are a witness in court, and all that you know is written here.\n\n{story}\n\n"
                "The lawyer goes through the following points.\n{questions}\n\n"
                "Testify as briefly as you can, numbering your answers to match. Where you "
                'cannot tell, say "unknown".'
            ),
            FormatTemplate(
                "Quiz\n{questions}\n\nMaterial for the quiz\n{story}\n\n"
                "Fill in the answer sheet: the number, a period, and then as few words as possible."
            ),
            FormatTemplate(
                "Two people talked about this passage.\n\n{story}\n\nOnly one side of their "
                "conversation is "
                "left, the side that asked:\n{questions}\n\nSupply the other side as a numbered "
                "list."
            ),
            FormatTemplate(
                "{story}\n\nSomebody was questioned about this and gave the following answers.\n"
                "{answer}\n\n"
                "What could the questions have been? Number them in the same way.",
                "{questions}",
                turned_around=True,
            ),
        ),
    )
)

_UNANSWERED = "CANNOTANSWER"
"""The last word of every context, and the answer to a question that the context leaves open."""


def _quac_fields(row):
    texts = {
        name: row[name].strip()
        for name in ("title", "background", "context", "question")
    }
    answer = row["orig_answer"]["text"].strip()
    if not answer or not all(texts.values()):
        return None
    others = [text.strip() for text in row["answers"]["text"]]
    right = [
        text
        for text in others
        if text and (text == _UNANSWERED) == (answer == _UNANSWERED)
    ]
    return {
        **texts,
        "answer": answer,
        "references": tuple(dict.fromkeys([answer, *right])),
    }


QUAC = register(
    TemplatedTask(
        name="quac",
        cluster="misc",
        title="QuAC",
        source=Tfds(
            "quac:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.quac),
        fields=_quac_fields,
        metrics=(exact_match, token_f1),
        templates=(
            FormatTemplate(
                "{background}\n\n{context}\n\n{question}\n\nCopy the words of the text that "
                "answer the question. "
                "If there are none, copy the last word, CANNOTANSWER."
            ),
            FormatTemplate(
                "Background: {background}\n\nArticle: {context}\n\nA reader's question: "
                "{question}\n\n"
                "Reply with a quotation from the article, or with CANNOTANSWER if it is silent "
                "on the matter."
            ),
            FormatTemplate(
                "{question}\n\nMark the part of the second text that tells us. The first is "
                "there only to introduce "
                "the subject. If you find no such part, mark CANNOTANSWER.\n\n"
                "First text: {background}\n\nSecond text: {context}"
            ),
            FormatTemplate(
                "A teacher has this article in front of her:\n{context}\n\nHer student knows "
                "only this much:\n"
                "{background}\n\nThe student wonders: {question}\nThe teacher reads out the "
                "lines that settle it, "
                "or says CANNOTANSWER where there are no such lines. What does the student hear?"
            ),
            FormatTemplate(
                "Search the section for the answer to the query and return that piece of it word "
                "for word. Return "
                "CANNOTANSWER if the section holds no answer.\n\n"
                "Subject: {background}\n\nSection: {context}\n\nQuery: {question}"
            ),
            FormatTemplate(
                "This is what I have read so far.\n{background}\n\nIt goes on like this.\n"
                "{context}\n\n"
                "Now I would like to know one thing.\n{question}\n"
                "Quote the text rather than explain it, please, and just say CANNOTANSWER if it "
                "is not in there."
            ),
            FormatTemplate(
                "Press conference. The speaker introduces the topic:\n{background}\n\nA reporter "
                "asks:\n{question}"
                "\n\nThe rules allow no reply but a passage read aloud from the notes below, or "
                "the word CANNOTANSWER "
                "if they are of no help.\n\nNotes: {context}\n\nWhat does the speaker read?"
            ),
            FormatTemplate(
                "{context}\n\nThe section above is from an encyclopedia entry that opens as "
                "follows.\n{background}"
                "\n\nUnderline the answer to this in the section, or else the word CANNOTANSWER "
                "at its end.\n"
                "{question}\n\nUnderlined:"
            ),
            FormatTemplate(
                "An encyclopedia entry begins with these words.\n\n{background}\n\n"
                "Under which title do readers find the entry?",
                "{title}",
                turned_around=True,
            ),
            FormatTemplate(
                "{background}\n\n{context}\n\nThink of a question to which the right reply is "
                "the following part "
                "of the text. (CANNOTANSWER is the reply to questions that the text leaves "
                "open.)\n{answer}",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)


def _true_case_fields(row):
    answer = row["en"].strip()
    lower = answer.lower()
    return None if lower == answer else {"lower": lower, "answer": answer}


TRUE_CASE = register(
    TemplatedTask(
        name="true_case",
        cluster="misc",
        title="True Case",
        dataset="text_formatting",
        source=Tfds(
            "para_crawl/enda:1.2.0",
            train="train[:30000]",
            validation="train[30000:30200]",
            test="train[-3000:]",
        ),
        sandbox=Sandbox(practice.para_crawl_enda),
        fields=_true_case_fields,
        metrics=(edit_similarity, accuracy),
        templates=(
            FormatTemplate(
                "{lower}\n\nWrite the text above with capital letters where they belong."
            ),
            FormatTemplate(
                "A poet who shuns capitals has written this. For an ordinary reader, write it in "
                "the ordinary way, "
                "changing nothing but the case of letters.\n\n{lower}"
            ),
            FormatTemplate("In lower case: {lower}\nIn correct case:"),
            FormatTemplate(
                "Which letters in this line ought to be capitals? Show me by copying it out "
                "correctly.\n{lower}"
            ),
            FormatTemplate(
                "An old database keeps everything in small letters, names and the beginnings of "
                "sentences included. "
                "Restore this entry.\n\nStored entry: {lower}\nRestored entry:"
            ),
            FormatTemplate(
                "Note from the copy editor: capitalization missing, everything else is fine.\n"
                "{lower}\n"
                "Corrected version:"
            ),
            FormatTemplate(
                "{lower}\nI was too lazy to use any capitals when I wrote that. Could you put "
                "them in for me? Leave "
                "the rest alone."
            ),
            FormatTemplate(
                "Restore the original letter case. Words, spelling and punctuation stay as they "
                "are.\n"
                "Input: {lower}\nOutput:"
            ),
            FormatTemplate(
                "A program has read a scanned page, but small letters are all it knows. It "
                "produced this:\n\n{lower}"
                "\n\nWhat exactly was printed on the page?"
            ),
            FormatTemplate(
                "{answer}\n\nCopy this without using a single capital letter.",
                "{lower}",
                turned_around=True,
            ),
        ),
    )
)

_PUNCTUATION = re.compile(r"[^\w\s]")


def _fix_punct_fields(row):
    answer = row["en"].strip()
    no_punct = _PUNCTUATION.sub("", answer).strip()
    return (
        None if no_punct in (answer, "") else {"no_punct": no_punct, "answer": answer}
    )


FIX_PUNCT = register(
    TemplatedTask(
        name="fix_punct",
        cluster="misc",
        title="Fix Punctuation",
        dataset="text_formatting",
        source=Tfds(
            "para_crawl/enda:1.2.0",
            train="train[30200:60200]",
            validation="train[60200:60400]",
            test="train[-3000:]",
        ),
        sandbox=Sandbox(practice.para_crawl_enda),
        fields=_fix_punct_fields,
        metrics=(edit_similarity, accuracy),
        templates=(
            FormatTemplate("{no_punct}\n\nAdd the missing punctuation to this text."),
            FormatTemplate(
                "Commas, periods, quotation marks and the like have been deleted here. Put them "
                "back without "
                "changing a letter.\n\n{no_punct}"
            ),
            FormatTemplate("Without punctuation: {no_punct}\nWith punctuation:"),
            FormatTemplate(
                "Every sign that is neither a letter nor a digit had to be left out of this "
                "telegram. Write it as "
                "ordinary text, in the same words.\nTelegram: {no_punct}"
            ),
            FormatTemplate(
                "Where would you pause, stop or ask? Show it by punctuating these words.\n"
                "{no_punct}"
            ),
            FormatTemplate(
                "English exam, part B: punctuation\nCopy the text below and insert all the marks "
                "that it needs, "
                "apostrophes and hyphens too.\n\n{no_punct}"
            ),
            FormatTemplate(
                "{no_punct}\nI never know where the commas and dots go. Could you send that back "
                "with them in?"
            ),
            FormatTemplate(
                "The typist who transcribed this recording wrote down letters, digits and spaces "
                "only.\n\n"
                "Transcript: {no_punct}\n\nThe same transcript, punctuated for publication:"
            ),
            FormatTemplate(
                "A printer had run out of every symbol that is not a letter or a number. This is "
                "what came out:\n"
                "{no_punct}\nAnd what should have come out?"
            ),
            FormatTemplate("Task: restore punctuation\nInput: {no_punct}\nOutput:"),
        ),
    )
)


def _word_segment_fields(row):
    words = row["en"].split()
    return {"no_space": "".join(words), "answer": " ".join(words)} if words else None


WORD_SEGMENT = register(
    TemplatedTask(
        name="word_segment",
        cluster="misc",
        title="Word Segmentation",
        dataset="text_formatting",
        source=Tfds(
            "para_crawl/enda:1.2.0",
            train="train[60400:90400]",
            validation="train[90400:90600]",
            test="train[-3000:]",
        ),
        sandbox=Sandbox(practice.para_crawl_enda),
        fields=_word_segment_fields,
        metrics=(edit_similarity, accuracy),
        templates=(
            FormatTemplate(
                "{no_space}\n\nInsert the spaces that are missing from this text."
            ),
            FormatTemplate(
                "The space bar was stuck when I typed this. How should it have looked?\n{no_space}"
            ),
            FormatTemplate("Segment into words: {no_space}"),
            FormatTemplate(
                "Ancient scribes left no gaps between words, and neither did whoever wrote "
                "this.\n\n{no_space}\n\n"
                "Write it the modern way."
            ),
            FormatTemplate(
                "Can you make out what this says? Repeat it, but with a gap wherever one word "
                "ends and the next "
                "begins.\n{no_space}"
            ),
            FormatTemplate(
                "All spaces were stripped from a file when it was saved. One line of it now "
                "reads like this:\n"
                "{no_space}\nReconstruct the line as it was before."
            ),
            FormatTemplate(
                "Nothing may be added, dropped or changed except that words must be set apart by "
                "single spaces.\n\n"
                "Given: {no_space}\nReadable:"
            ),
            FormatTemplate(
                "Find the boundaries between the words in the following string, then print the "
                "words with their "
                "punctuation as normal running text.\nString: {no_space}"
            ),
            FormatTemplate(
                "{answer}\n\nRun all of this together by taking out the spaces.",
                "{no_space}",
                turned_around=True,
            ),
            FormatTemplate(
                "An online form accepts any character but the space. Enter the text below in "
                "such a way that nothing "
                "else of it is lost.\nText: {answer}",
                "{no_space}",
                turned_around=True,
            ),
        ),
    )
)
