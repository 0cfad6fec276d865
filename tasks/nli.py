"""Natural language inference: does one text follow from another?"""

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import accuracy, mean_f1
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import nli as practice


def _pair(row, names, answers):
    """The two named texts and the answer; None for a row without a label or with an empty text."""
    texts = {name: row[name].strip() for name in names}
    if row["label"] < 0 or not all(texts.values()):
        return None
    return texts | {"answer": answers[row["label"]]}


def _rte_fields(row):
    return _pair(row, ("premise", "hypothesis"), ("yes", "no"))


RTE = register(
    TemplatedTask(
        name="rte",
        cluster="nli",
        title="RTE",
        source=Tfds(
            "super_glue/rte:1.0.2",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.rte, train=2290),
        fields=_rte_fields,
        options=("yes", "no"),
        cloze=ClozeTemplate(
            "{premise} Somebody says: {hypothesis} That is {answer}.",
            {"yes": "true", "no": "false"},
        ),
        premise=("premise",),
        templates=(
            FormatTemplate(
                "{premise}\n\nGoing by the paragraph above, is this true? {hypothesis}\n\n{options}"
            ),
            FormatTemplate(
                "Read this: {premise}\nNow decide whether the next sentence follows from it: "
                "{hypothesis}\n{options}"
            ),
            FormatTemplate(
                "Premise: {premise}\n\nHypothesis: {hypothesis}\n\nDoes the premise entail the "
                "hypothesis?\n\n{options}"
            ),
            FormatTemplate(
                "Someone you trust tells you this: {premise}\n"
                "Would you then have to believe this as well? {hypothesis}\n{options}"
            ),
            FormatTemplate(
                "Claim: {hypothesis}\nSource: {premise}\nDoes the source support the claim?\n"
                "{options}"
            ),
            FormatTemplate(
                "{options}\nPick one. We are told: {premise}\nCan we be sure of the following? "
                "{hypothesis}"
            ),
            FormatTemplate(
                "These lines are all that a reader has to go on.\n\n{premise}\n\nHer conclusion: "
                "{hypothesis}\n\n"
                "Is it sound?\n{options}"
            ),
            FormatTemplate(
                "Fact check\nWhat we know: {premise}\nWhat was said: {hypothesis}\n"
                "Is what was said backed up by what we know, yes or no?"
            ),
            FormatTemplate(
                "Can text 2 be inferred from text 1?\n1. {premise}\n2. {hypothesis}\n{options}"
            ),
            FormatTemplate(
                'Write a short text and a statement about it, marked "Text:" and "Statement:". '
                "To the question whether "
                "the text implies the statement, the right answer has to be: {answer}",
                "Text: {premise}\nStatement: {hypothesis}",
                turned_around=True,
            ),
        ),
    )
)

_ANLI_OPTIONS = ("Yes", "It's impossible to say", "No")


def _anli_fields(row):
    context = row["context"].replace("<br>", "\n")
    return _pair({**row, "context": context}, ("context", "hypothesis"), _ANLI_OPTIONS)


_ANLI_TEMPLATES = (
    FormatTemplate(
        "{context}\n\nAccording to the text above, is this claim correct?\n{hypothesis}\n\n"
        "{options}"
    ),
    FormatTemplate(
        "Careful, this one may be a trick. Read the passage slowly, then say whether the "
        "sentence under it is true.\n\n"
        "{context}\n\nSentence: {hypothesis}\n\n{options}"
    ),
    FormatTemplate(
        "Claim under review: {hypothesis}\n\nThe only evidence we have: {context}\n\n"
        "Is the claim right? Keep in mind that the evidence may be silent on it.\n\n{options}"
    ),
    FormatTemplate(
        "{options}\n\nThese are the verdicts to choose from. You know the source and nothing else. "
        "Is the remark true?\n\nSource: {context}\nRemark: {hypothesis}"
    ),
    FormatTemplate(
        "Ann: I am reading this out to you.\n{context}\nBen: I see. So would I be right to say "
        "the following?\n"
        "{hypothesis}\n\nWhat is Ann's reply?\n{options}"
    ),
    FormatTemplate(
        "Reading test, part C\nMark the statement according to the text. Do not use what you "
        "know from elsewhere.\n\n"
        "Text\n{context}\n\nStatement\n{hypothesis}\n\n{options}"
    ),
    FormatTemplate(
        "{context}\n\nWith nothing else to go on, would you call this true?\n{hypothesis}\n\n"
        'Reply "Yes" or "No", or "It\'s impossible to say" where the text leaves it open.'
    ),
    FormatTemplate(
        "You are the referee of a quiz show. A contestant is right if the card in your hand "
        "bears out what was said, "
        "and wrong if the card rules it out. Otherwise you cannot decide.\n\nContestant: "
        "{hypothesis}\n\n"
        "Card: {context}\n\nIs the contestant right?\n{options}"
    ),
    FormatTemplate(
        "Quick question for you. I came across this:\n{context}\n\n"
        "Somebody wrote the following below it. Have they got it right?\n{hypothesis}\n\n{options}"
    ),
    FormatTemplate(
        "Write a paragraph such as an encyclopedia or a newspaper may contain and, below it, a "
        "tricky sentence about "
        "the same subject. Readers will be asked whether the paragraph makes the sentence true. "
        "The right reply has to be: {answer}",
        "{context}\n\n{hypothesis}",
        turned_around=True,
    ),
)

_ANLI_CLOZE = ClozeTemplate(
    "{context} Somebody says: {hypothesis} Is that so? {answer}.",
    {"It's impossible to say": "It is not possible to tell"},
)

ANLI_R1 = register(
    TemplatedTask(
        name="anli_r1",
        cluster="nli",
        title="ANLI R1",
        dataset="anli",
        source=Tfds(
            "anli/r1:0.1.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.anli_r1, numbered=("uid",)),
        fields=_anli_fields,
        options=_ANLI_OPTIONS,
        cloze=_ANLI_CLOZE,
        premise=("context",),
        templates=_ANLI_TEMPLATES,
    )
)

ANLI_R2 = register(
    TemplatedTask(
        name="anli_r2",
        cluster="nli",
        title="ANLI R2",
        dataset="anli",
        source=Tfds(
            "anli/r2:0.1.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.anli_r2, numbered=("uid",)),
        fields=_anli_fields,
        options=_ANLI_OPTIONS,
        cloze=_ANLI_CLOZE,
        premise=("context",),
        templates=_ANLI_TEMPLATES,
    )
)

ANLI_R3 = register(
    TemplatedTask(
        name="anli_r3",
        cluster="nli",
        title="ANLI R3",
        dataset="anli",
        source=Tfds(
            "anli/r3:0.1.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.anli_r3, numbered=("uid",)),
        fields=_anli_fields,
        options=_ANLI_OPTIONS,
        cloze=_ANLI_CLOZE,
        premise=("context",),
        templates=_ANLI_TEMPLATES,
    )
)

_CB_OPTIONS = ("Yes", "No", "It's impossible to say")


def _cb_fields(row):
    clause = row["hypothesis"].strip().rstrip(".")
    return _pair({**row, "hypothesis": clause}, ("premise", "hypothesis"), _CB_OPTIONS)


CB = register(
    TemplatedTask(
        name="cb",
        cluster="nli",
        title="CB",
        source=Tfds(
            "super_glue/cb:1.0.2",
            train="train[:-50]",
            validation="train[-50:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.cb, train=200, validation=50),
        fields=_cb_fields,
        options=_CB_OPTIONS,
        metrics=(accuracy, mean_f1),
        cloze=ClozeTemplate(
            "{premise} Is it so that {hypothesis}? {answer}.",
            {"It's impossible to say": "It is not possible to tell"},
        ),
        premise=("premise",),
        templates=(
            FormatTemplate(
                "{premise}\n\nFrom this alone, would you say that {hypothesis}?\n\n{options}"
            ),
            FormatTemplate(
                "Text: {premise}\nQuestion: is it the case that {hypothesis}?\n{options}"
            ),
            FormatTemplate(
                "{premise}\nWould whoever said or wrote this agree that {hypothesis}?\n{options}"
            ),
            FormatTemplate(
                "Is it true that {hypothesis}?\n\nAnswer as the author of these lines would.\n"
                "{premise}\n\n{options}"
            ),
            FormatTemplate(
                "A few lines from a novel, a newspaper or a telephone call:\n{premise}\n"
                "If you trust them, is it a fact that {hypothesis}?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nChoose the right reply.\n{premise}\nSo, {hypothesis}?"
            ),
            FormatTemplate(
                "Judge the statement by the passage.\nPassage: {premise}\nStatement: "
                "{hypothesis}.\n"
                "Is the statement true?\n{options}"
            ),
            FormatTemplate(
                "A friend reads something out to you.\n{premise}\nSomebody else comes in and "
                "would like to know "
                "whether {hypothesis}. What do you answer?\n{options}"
            ),
            FormatTemplate(
                "A student has read this:\n{premise}\nThe student writes that {hypothesis}. Is "
                "the student right? "
                'Answer with "Yes", "No" or "It\'s impossible to say".'
            ),
            FormatTemplate(
                "Make up a passage for a reading test and, under it, a question that begins with "
                '"Is it right that". '
                "The answer key for this item must read: {answer}",
                "{premise}\nIs it right that {hypothesis}?",
                turned_around=True,
            ),
        ),
    )
)

_THREE_WAY = ("yes", "it is not possible to tell", "no")


def _mnli_fields(row):
    return _pair(row, ("premise", "hypothesis"), _THREE_WAY)


_MNLI_TEMPLATES = (
    FormatTemplate(
        "{premise}\n\nIf that is so, is the following true?\n{hypothesis}\n\n{options}"
    ),
    FormatTemplate(
        "Here is something that was said or written: {premise}\nSomeone else sums it up like "
        "this: {hypothesis}\n"
        "Is the summary true, as far as one can tell from the original?\n{options}"
    ),
    FormatTemplate(
        "Take P as given and decide whether C is true.\nP: {premise}\nC: {hypothesis}\n{options}"
    ),
    FormatTemplate(
        "A witness testifies: {premise}\nLater the lawyer tells the jury: {hypothesis}\n"
        "If the witness can be believed, is what the lawyer tells them correct?\n{options}"
    ),
    FormatTemplate(
        "{options}\n\nFill the gap with one of the above.\n\nFirst statement: {premise}\n"
        "Second statement: {hypothesis}\nIs the second statement true, given that the first one "
        "is? ___"
    ),
    FormatTemplate(
        "My brother and I found these lines on a scrap of paper.\n{premise}\n"
        "That is all there was, and now he says this to me.\n{hypothesis}\nIs he right?\n{options}"
    ),
    FormatTemplate(
        "{hypothesis}\n\nIs that true? All that you have to go on is this.\n\n{premise}\n\n"
        "{options}"
    ),
    FormatTemplate(
        'Check a sentence against what is known. If it must be true, answer "yes". If it cannot '
        'be true, answer "no". '
        'If it could be true or false, answer "it is not possible to tell".\n'
        "Known: {premise}\nSentence: {hypothesis}"
    ),
    FormatTemplate(
        "There is a single entry in the detective's notebook.\n{premise}\n"
        "Her assistant would like to know whether this is a fact.\n{hypothesis}\nWhat can she "
        "tell him?\n{options}"
    ),
    FormatTemplate(
        "(a) {premise}\n(b) {hypothesis}\n\nImagine a world in which (a) is the case. Is (b) the "
        "case there?\n{options}"
    ),
)

_MNLI_CLOZE = ClozeTemplate(
    "{premise}\nSomebody says: {hypothesis} Is that so? {answer}.",
    {
        "yes": "Yes",
        "it is not possible to tell": "It is not possible to tell",
        "no": "No",
    },
)

MNLI_MATCHED = register(
    TemplatedTask(
        name="mnli_matched",
        cluster="nli",
        title="MNLI matched",
        dataset="mnli",
        source=Tfds(
            "glue/mnli:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation_matched",
        ),
        sandbox=Sandbox(practice.mnli_matched),
        fields=_mnli_fields,
        options=_THREE_WAY,
        cloze=_MNLI_CLOZE,
        premise=("premise",),
        templates=_MNLI_TEMPLATES,
    )
)

MNLI_MISMATCHED = register(
    TemplatedTask(
        name="mnli_mismatched",
        cluster="nli",
        title="MNLI mismatched",
        dataset="mnli",
        source=Tfds(
            "glue/mnli:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation_mismatched",
        ),
        sandbox=Sandbox(practice.mnli_mismatched),
        fields=_mnli_fields,
        options=_THREE_WAY,
        cloze=_MNLI_CLOZE,
        premise=("premise",),
        templates=_MNLI_TEMPLATES,
    )
)


def _qnli_fields(row):
    return _pair(row, ("question", "sentence"), ("yes", "no"))


QNLI = register(
    TemplatedTask(
        name="qnli",
        cluster="nli",
        title="QNLI",
        source=Tfds(
            "glue/qnli:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.qnli),
        fields=_qnli_fields,
        options=("yes", "no"),
        cloze=ClozeTemplate(
            "The question was: {question} Somebody replied: {sentence} That {answer} the question.",
            {"yes": "answers", "no": "does not answer"},
        ),
        premise=("sentence",),
        templates=(
            FormatTemplate(
                "Question: {question}\nSentence: {sentence}\n\nDoes the sentence answer the "
                "question?\n\n{options}"
            ),
            FormatTemplate(
                "{sentence}\n\nHaving read only this, could you answer the question below?\n\n"
                "{question}\n\n{options}"
            ),
            FormatTemplate(
                "Somebody types into a search engine: {question}\nThe top result shows this "
                "snippet: {sentence}\n"
                "Is the answer in the snippet?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nPick one: is the information that Q asks for in S?\nQ: {question}\n"
                "S: {sentence}"
            ),
            FormatTemplate(
                "This is what I need to find out: {question}\nAll I have in my notes is this "
                "line: {sentence}\n"
                "Does the line tell me what I need, so that I can stop searching?\n{options}"
            ),
            FormatTemplate(
                "A student goes through a textbook and highlights every sentence that answers "
                "this question:\n"
                "{question}\n\nShould the student highlight this sentence?\n{sentence}\n\n{options}"
            ),
            FormatTemplate(
                "Interviewer: {question}\nGuest: {sentence}\n\nHas the guest given an answer?\n"
                "{options}"
            ),
            FormatTemplate(
                "You work at the desk of a library. A visitor asks: {question}\n"
                "You open a book, put your finger on one line and read it out: {sentence}\n"
                "Does that give the visitor the answer?\n{options}"
            ),
            FormatTemplate(
                "Say yes if the text contains the answer to the question, and no if it does "
                "not.\n\n"
                "Text: {sentence}\n\nQuestion: {question}"
            ),
            FormatTemplate(
                "Here is a sentence: {sentence}\nThink of a question on the same subject. "
                "Anyone who checks whether the sentence contains the answer should come to this "
                "verdict: {answer}",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)


def _wnli_fields(row):
    return _pair(row, ("sentence1", "sentence2"), ("no", "yes"))


WNLI = register(
    TemplatedTask(
        name="wnli",
        cluster="nli",
        title="WNLI",
        source=Tfds(
            "glue/wnli:2.0.0",
            train="train[:-30]",
            validation="train[-30:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.wnli, train=605, validation=30),
        fields=_wnli_fields,
        options=("no", "yes"),
        cloze=ClozeTemplate(
            "{sentence1} Somebody says: {sentence2} That is {answer}.",
            {"no": "wrong", "yes": "right"},
        ),
        premise=("sentence1",),
        templates=(
            FormatTemplate(
                "{sentence1}\n\nIs this a correct reading of it? {sentence2}\n\n{options}"
            ),
            FormatTemplate(
                "When I say the first of these, am I also saying the second?\n{sentence1}\n"
                "{sentence2}\n{options}"
            ),
            FormatTemplate(
                "Sentence A: {sentence1}\nSentence B: {sentence2}\nIf A is true, must B be "
                "true?\n{options}"
            ),
            FormatTemplate(
                "{sentence2}\nCould you know that from what follows?\n{sentence1}\n{options}"
            ),
            FormatTemplate(
                "Work out who or what is meant, then answer.\n{sentence1}\nDoes this follow? "
                "{sentence2}\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nReply with one of these. Does the note in the margin get the text "
                "right?\n"
                "Text: {sentence1}\nNote: {sentence2}"
            ),
            FormatTemplate(
                "Exercise in careful reading\n{sentence1}\nIs the following true?\n{sentence2}\n"
                "{options}"
            ),
            FormatTemplate(
                "Answer yes or no. Given the first line, is the second line right?\n{sentence1}\n"
                "{sentence2}"
            ),
            FormatTemplate(
                "A friend explains: {sentence1}\nYou repeat it as: {sentence2}\nDid you get it "
                "right?\n{options}"
            ),
            FormatTemplate(
                "Let us assume this much: {sentence1}\nCan we then be certain of this too? "
                "{sentence2}\n\n{options}"
            ),
        ),
    )
)


def _snli_fields(row):
    return _pair(row, ("premise", "hypothesis"), _THREE_WAY)


SNLI = register(
    TemplatedTask(
        name="snli",
        cluster="nli",
        title="SNLI",
        source=Tfds(
            "snli:1.1.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.snli),
        fields=_snli_fields,
        options=_THREE_WAY,
        cloze=ClozeTemplate(
            "{premise} Somebody who was there says: {hypothesis} Is that so? {answer}.",
            {
                "yes": "Yes",
                "it is not possible to tell": "It is not possible to tell",
                "no": "No",
            },
        ),
        premise=("premise",),
        templates=(
            FormatTemplate(
                "A scene: {premise}\nA second description of it: {hypothesis}\n\n"
                "Is the second description true of the scene?\n\n{options}"
            ),
            FormatTemplate(
                "There is a photo that you cannot see. Its caption reads: {premise}\n"
                "Is this true of the photo? {hypothesis}\n{options}"
            ),
            FormatTemplate(
                "Caption: {premise}\nComment: {hypothesis}\nIs the comment accurate?\n{options}"
            ),
            FormatTemplate(
                "One child describes a picture to another: {premise}\nThe other, who stands with "
                "her back to it, "
                "makes a guess: {hypothesis}\nGoing by the description, has she guessed right?\n"
                "{options}"
            ),
            FormatTemplate(
                "{options}\n\nChoose what fits. Of the two lines below, the first was written by "
                "an eyewitness and the "
                "second by a reporter who was not there. Is the reporter's line true?\n"
                "{premise}\n{hypothesis}"
            ),
            FormatTemplate(
                "Someone says of a picture: {hypothesis}\nAll that you know of the picture is "
                "this: {premise}\n"
                "Is what they say correct?\n{options}"
            ),
            FormatTemplate(
                "You describe images for people who cannot see them. This is all that your notes "
                "have on one of them.\n"
                "{premise}\n\nYou are asked whether the following is the case in the image.\n"
                "{hypothesis}\n\n"
                "What do you reply?\n{options}"
            ),
            FormatTemplate(
                "What is going on: {premise}\nWhat I make of it: {hypothesis}\n"
                'Am I right? Reply with "yes", "no" or "it is not possible to tell".'
            ),
            FormatTemplate(
                "Take a moment to imagine what is going on here.\n\n{premise}\n\n"
                "Then consider one more sentence about the same moment. Is it true?\n\n"
                "{hypothesis}\n\n{options}"
            ),
            FormatTemplate(
                "This is the caption of a photo: {premise}\nWrite a sentence about the photo. If "
                "people who have only "
                "the caption are asked whether your sentence is true, this is what they should "
                "say: {answer}",
                "{hypothesis}",
                turned_around=True,
            ),
        ),
    )
)
