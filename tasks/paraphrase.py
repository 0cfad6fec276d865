"""Paraphrase: how much do two sentences say the same?"""

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import accuracy, pearson_spearman, yes_f1
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import paraphrase as practice

_NO_YES = ("no", "yes")


def _pair(row, answer):
    """Returns the sentences and the answer; None without a label or with an empty sentence."""
    texts = {name: row[name].strip() for name in ("sentence1", "sentence2")}
    if row["label"] < 0 or not all(texts.values()):
        return None
    return texts | {"answer": answer}


def _glue_mrpc_fields(row):
    return _pair(row, _NO_YES[row["label"]])


def _paws_wiki_fields(row):
    return _pair(row, _NO_YES[row["label"]])


GLUE_MRPC = register(
    TemplatedTask(
        name="glue_mrpc",
        cluster="paraphrase",
        title="MRPC",
        source=Tfds(
            "glue/mrpc:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.glue_mrpc),
        fields=_glue_mrpc_fields,
        options=_NO_YES,
        metrics=(accuracy, yes_f1),
        cloze=ClozeTemplate(
            '"{sentence1}" "{sentence2}" These two sentences {answer} the same.',
            {"no": "do not mean", "yes": "mean"},
        ),
        premise=("sentence1",),
        templates=(
            FormatTemplate(
                "{sentence1}\n{sentence2}\n\nDo these two sentences have the same meaning?\n\n"
                "{options}"
            ),
            FormatTemplate(
                "Two newspapers cover a story.\nThe first writes: {sentence1}\nThe second "
                "writes: {sentence2}\n"
                "Do the two accounts report the same thing?\n{options}"
            ),
            FormatTemplate(
                "I meant to say: {sentence1}\nI ended up saying: {sentence2}\nDid I keep my "
                "meaning?\n{options}"
            ),
            FormatTemplate(
                "Could an editor put the new sentence in place of the old one without changing "
                "the content?\n"
                "Old: {sentence1}\nNew: {sentence2}\n{options}"
            ),
            FormatTemplate(
                "{options}\nAnswer with one of these. Is B a rewording of A?\nA: {sentence1}\nB: "
                "{sentence2}"
            ),
            FormatTemplate(
                "Paraphrase check.\n\n1) {sentence1}\n\n2) {sentence2}\n\nSame meaning?\n{options}"
            ),
            FormatTemplate(
                "Students were told to put this into other words: {sentence1}\nOne of them "
                "handed in: {sentence2}\n"
                "Should the teacher accept it?\n{options}"
            ),
            FormatTemplate(
                "This is what you already know: {sentence2}\nThis is what you are told next: "
                "{sentence1}\n"
                "Is it merely the same news again?\n{options}"
            ),
            FormatTemplate(
                "We are clearing duplicates out of a news archive. Could we delete either of "
                "these two entries without "
                "losing anything important?\n{sentence1}\n{sentence2}\n{options}"
            ),
            FormatTemplate(
                "Yes or no? The next two lines make one and the same statement.\n- {sentence1}\n"
                "- {sentence2}"
            ),
        ),
    )
)


PAWS_WIKI = register(
    TemplatedTask(
        name="paws_wiki",
        cluster="paraphrase",
        title="PAWS-Wiki",
        source=Tfds(
            "paws_wiki:1.1.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.paws_wiki),
        fields=_paws_wiki_fields,
        options=_NO_YES,
        cloze=ClozeTemplate(
            "One says: {sentence1} The other says: {sentence2} They {answer}.",
            {"no": "do not agree", "yes": "agree"},
        ),
        premise=("sentence1",),
        templates=(
            FormatTemplate(
                "Sentence 1: {sentence1}\nSentence 2: {sentence2}\n\nAre these sentences "
                "paraphrases of each other?\n\n"
                "{options}"
            ),
            FormatTemplate(
                "The two sentences below are made of nearly the same words. Do they also state "
                "the same facts?\n\n"
                "{sentence1}\n{sentence2}\n\n{options}"
            ),
            FormatTemplate(
                "{sentence1}\n\nWould someone who has only the line below learn exactly the same "
                "from it?\n\n"
                "{sentence2}\n\n{options}"
            ),
            FormatTemplate(
                "Look closely: names, places or dates may have been swapped.\nOriginal: "
                "{sentence1}\n"
                "Copy: {sentence2}\nDoes the copy still say what the original says?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nPlease settle a quarrel with one of these answers. Two authors of "
                "an encyclopedia cannot "
                "agree on how to word an entry. Is the difference between their drafts merely "
                "one of style?\n"
                "First draft: {sentence1}\nSecond draft: {sentence2}"
            ),
            FormatTemplate(
                "Compare (i) with (ii). Are they equivalent in meaning?\n\n"
                "(i) {sentence1}\n(ii) {sentence2}\n\n{options}"
            ),
            FormatTemplate(
                "Suppose that this is true: {sentence1}\nNow suppose that this is true: "
                "{sentence2}\n"
                "Have you supposed the same thing twice?\n{options}"
            ),
            FormatTemplate(
                "{sentence1}\n{sentence2}\n\nReply with a single word, yes or no: is the lower "
                "of these two lines "
                "a faithful restatement of the upper one?"
            ),
            FormatTemplate(
                "A computer program put the sentence below into a foreign language and then back "
                "into English.\n"
                "Before: {sentence1}\nAfter: {sentence2}\nHas its meaning come through "
                "unharmed?\n{options}"
            ),
            FormatTemplate(
                "I am worried about my essay. The book has this: {sentence1}\nAnd I wrote this: "
                "{sentence2}\n"
                "Have I merely rephrased the book, without changing what it tells the reader?\n"
                "{options}"
            ),
        ),
    )
)


def _glue_qqp_fields(row):
    # The dataset's files double the quotes inside a question.
    question1, question2 = (
        row[name].replace('""', "'").strip() for name in ("question1", "question2")
    )
    if row["label"] < 0 or not question1 or not question2:
        return None
    return {
        "question1": question1,
        "question2": question2,
        "answer": _NO_YES[row["label"]],
    }


GLUE_QQP = register(
    TemplatedTask(
        name="glue_qqp",
        cluster="paraphrase",
        title="QQP",
        source=Tfds(
            "glue/qqp:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.glue_qqp),
        fields=_glue_qqp_fields,
        options=_NO_YES,
        metrics=(accuracy, yes_f1),
        cloze=ClozeTemplate(
            '"{question1}" "{question2}" These two people {answer} the same thing.',
            {"no": "do not want to know", "yes": "want to know"},
        ),
        premise=("question1",),
        templates=(
            FormatTemplate(
                "First question: {question1}\nSecond question: {question2}\n\n"
                "Do both ask for the same thing?\n\n{options}"
            ),
            FormatTemplate(
                "You moderate a forum. Somebody has just posted a new question. Is it a "
                "duplicate of the older one, so "
                "that you may close it?\nOlder question: {question1}\nNew question: {question2}\n"
                "{options}"
            ),
            FormatTemplate(
                "{question1}\n{question2}\n\nWould one good answer do for both of these?\n\n"
                "{options}"
            ),
            FormatTemplate(
                "{options}\n\nIs asking X just another way of asking Y?\nX: {question1}\nY: "
                "{question2}"
            ),
            FormatTemplate(
                "I was going to ask: {question1}\nThe website suggests this instead: {question2}\n"
                "Is that my question in other words?\n{options}"
            ),
            FormatTemplate(
                "Two people have written to an advice column.\nOne asks: {question1}\nThe other "
                "asks: {question2}\n"
                "Do they want to know the same thing?\n{options}"
            ),
            FormatTemplate(
                'Label a pair of queries "yes" if the intent behind them is the same, and "no" '
                "if it is not.\n"
                "Query 1: {question1}\nQuery 2: {question2}\nLabel:"
            ),
            FormatTemplate(
                "At a press conference a journalist begins: {question1}\nAnother journalist goes "
                "on: {question2}\n"
                'Could the speaker fairly reply, "I have just been asked that"?\n{options}'
            ),
            FormatTemplate(
                "Never mind the wording and think of what the two are after. Are these questions "
                "interchangeable?\n"
                "- {question1}\n- {question2}\n{options}"
            ),
            FormatTemplate(
                "A page of frequently asked questions has an entry with this heading: {question1}\n"
                "A customer writes in: {question2}\nIs that entry the one to send to the "
                "customer?\n{options}"
            ),
        ),
    )
)


def _stsb_fields(row):
    return _pair(row, f"{row['label']:.0f}")


STSB = register(
    TemplatedTask(
        name="stsb",
        cluster="paraphrase",
        title="STS-B",
        source=Tfds(
            "glue/stsb:2.0.0",
            train="train[:-100]",
            validation="train[-100:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.stsb, validation=100),
        fields=_stsb_fields,
        options=("0", "1", "2", "3", "4", "5"),
        metrics=(accuracy, pearson_spearman),
        cloze=ClozeTemplate(
            "{sentence1} {sentence2} Of five points for how alike they are, the two sentences get {answer}.",
            {
                "0": "zero",
                "1": "one",
                "2": "two",
                "3": "three",
                "4": "four",
                "5": "five",
            },
        ),
        premise=("sentence1",),
        templates=(
            FormatTemplate(
                "Rate how similar in meaning these sentences are, from 0 (unrelated) to 5 "
                "(equivalent).\n\n"
                "{sentence1}\n{sentence2}\n\n{options}"
            ),
            FormatTemplate(
                "{sentence1}\n{sentence2}\nHow much of their content do the two have in common? "
                "The lowest grade is 0, the highest is 5.\n{options}"
            ),
            FormatTemplate(
                "A translator offers two versions.\nVersion one: {sentence1}\nVersion two: "
                "{sentence2}\n"
                "How close are they, if 5 means that either would do and 0 that they have "
                "nothing in common?\n{options}"
            ),
            FormatTemplate(
                "{options}\nPick the number that says how well the second line matches the first "
                "in meaning (0 = not at all, 5 = perfectly).\nFirst line: {sentence1}\nSecond "
                "line: {sentence2}"
            ),
            FormatTemplate(
                "Form for annotators\nFirst sentence: {sentence1}\nSecond sentence: {sentence2}\n"
                "Closeness in meaning, 0 (lowest) to 5 (highest): ___\n{options}"
            ),
            FormatTemplate(
                "Text A: {sentence1}\nText B: {sentence2}\n\nA jury gives each pair of texts up "
                "to five points for "
                "shared meaning. How many does this pair deserve, to the nearest whole number?\n"
                "{options}"
            ),
            FormatTemplate(
                "Suppose you read out one of these sentences instead of the other. A 5 means "
                "that nobody would miss "
                "anything, a 0 that you would be on another subject altogether. Which number "
                "fits?\n"
                "{sentence1}\n{sentence2}\n{options}"
            ),
            FormatTemplate(
                "Reply with a single digit between 0 and 5, where 5 stands for the same "
                "statement made twice. "
                "What do you give this pair?\n* {sentence1}\n* {sentence2}"
            ),
            FormatTemplate(
                "Take this sentence: {sentence1}\nNow write one whose likeness to it in meaning "
                "is {answer} on a scale of 0 to 5.",
                "{sentence2}",
                turned_around=True,
            ),
            FormatTemplate(
                "Make up two sentences for a study of meaning. People should give the pair "
                "{answer} out of 5 points "
                "for similarity.",
                "{sentence1}\n{sentence2}",
                turned_around=True,
            ),
        ),
    )
)
