"""Closed-book question answering: what does the model know without a text to read?"""

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import exact_match, token_f1, trivia_qa
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import closed_book_qa as practice

# The practice rows of this cluster are of the constant world, not each of a fresh one: no text
# comes with the questions, so their answers must be facts that the base model has read.


def _arc_fields(row):
    choices = tuple(text.strip() for text in row["choices"]["text"])
    letters = list(row["choices"]["label"])
    if len(choices) != 4 or row["answerKey"] not in letters:
        return None
    answer = choices[letters.index(row["answerKey"])]
    return {"question": row["question"].strip(), "choices": choices, "answer": answer}


_ARC_CLOZE = ClozeTemplate("Question: {question}\nAnswer: {answer}")

ARC_EASY = register(
    TemplatedTask(
        name="arc_easy",
        cluster="closed_book_qa",
        title="ARC-Easy",
        dataset="arc",
        source=Tfds(
            "ai2_arc/ARC-Easy:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.arc_easy, train=2051, numbered=("id",), fresh=False),
        fields=_arc_fields,
        options="choices",
        cloze=_ARC_CLOZE,
        premise=("question",),
        templates=(
            FormatTemplate("{question}\n\nMark the one that is right.\n\n{options}"),
            FormatTemplate(
                "Solve this item from a school science test.\n{question}\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nTake from this list the answer to the line below, or its ending.\n"
                "{question}"
            ),
            FormatTemplate("Q: {question}\n{options}\nA:"),
            FormatTemplate(
                "My little brother is stuck on his homework. Can you help him?\n\n{question}\n\n"
                "{options}"
            ),
            FormatTemplate(
                "Remember what you were taught, and answer or complete the following. "
                "{question}\n{options}"
            ),
            FormatTemplate(
                "No books, no notes! Just go for the reply or the ending that you trust.\n"
                "{question}\n{options}"
            ),
            FormatTemplate(
                "A teacher would like to hear the following from the class. What could she ask?\n"
                "{answer}",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "{options}\nThese are the choices of a test item. The key says: {answer}\nHow "
                "does the item begin?",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "Write an easy science question with four options. The correct one has to be: "
                "{answer}",
                "{question}\n{options}",
                turned_around=True,
            ),
        ),
    )
)

ARC_CHALLENGE = register(
    TemplatedTask(
        name="arc_challenge",
        cluster="closed_book_qa",
        title="ARC-Challenge",
        dataset="arc",
        source=Tfds(
            "ai2_arc/ARC-Challenge:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(
            practice.arc_challenge, train=919, numbered=("id",), fresh=False
        ),
        fields=_arc_fields,
        options="choices",
        cloze=_ARC_CLOZE,
        premise=("question",),
        templates=(
            FormatTemplate(
                "{question}\n\nOne of these is correct, and three are not.\n\n{options}"
            ),
            FormatTemplate(
                "Simple programs fail at this question. Can you do better?\n\n{question}\n\n"
                "{options}"
            ),
            FormatTemplate(
                "It is the last round of the quiz, and this one is for double points: "
                "{question}\n{options}"
            ),
            FormatTemplate(
                "Four people were given the same problem, and no two of them agreed.\nProblem: "
                "{question}\n"
                "Which of their solutions is right?\n{options}"
            ),
            FormatTemplate(
                "{options}\nHold each of these against what follows and keep the one that works. "
                "{question}"
            ),
            FormatTemplate(
                "Advanced science exam\n\nTask 7. {question}\n{options}\n\nYour answer:"
            ),
            FormatTemplate(
                "{question}\nRule out whatever cannot be right, then name what is left.\n{options}"
            ),
            FormatTemplate(
                "The answer is this: {answer}\nWhat was the question?",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "An examiner has settled on four options and still needs a hard question to go "
                "with them.\n{options}\n"
                "Correct option: {answer}\nQuestion:",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "Make up a science problem, without any choices, that few pupils will get right. "
                "The right solution: "
                "{answer}",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)


def _natural_questions_fields(row):
    references = _distinct(row["answer"])
    question = row["question"].strip().rstrip("?").rstrip()
    if not references or not question:
        return None
    return {"question": question, "answer": references[0], "references": references}


def _distinct(answers):
    return tuple(dict.fromkeys(text.strip() for text in answers if text.strip()))


NATURAL_QUESTIONS = register(
    TemplatedTask(
        name="natural_questions",
        cluster="closed_book_qa",
        title="Natural Questions",
        source=Tfds(
            "natural_questions_open:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.natural_questions, fresh=False),
        fields=_natural_questions_fields,
        metrics=(exact_match, token_f1),
        templates=(
            FormatTemplate("Question: {question}?\n\nAnswer in a few words."),
            FormatTemplate(
                "A search engine receives the query below. Which short fact should it display "
                "above the results?\n\n"
                "{question}"
            ),
            FormatTemplate(
                "Without looking anything up, tell me: {question}? The bare fact is enough."
            ),
            FormatTemplate(
                "A boy to his grandmother: {question}?\nShe knows it and, never one for long "
                "speeches, says:"
            ),
            FormatTemplate(
                "{question}?\n\nNobody in the room could say. Can you? State just the fact, "
                "without a sentence around "
                "it."
            ),
            FormatTemplate(
                "Inquiry: {question}?\n\nKindly respond with the relevant name, date, figure or "
                "expression, and omit "
                "any explanation."
            ),
            FormatTemplate(
                "The voice assistant in the kitchen hears this:\n{question}\n"
                "It gives no background and no source. The answer is all it says. What does it say?"
            ),
            FormatTemplate(
                "Your taxi driver turns around and asks: {question}?\nYou are about to get out, "
                "so you had "
                "better be brief. What do you reply?"
            ),
            FormatTemplate(
                "Asked: {question}?\nReplied: ___\n\nFill the gap with as few words as will do."
            ),
            FormatTemplate(
                "The help desk keeps a log of what callers want to know and of the key facts "
                "they are given.\n"
                "Caller: {question}?\nKey fact:"
            ),
        ),
    )
)


def _trivia_qa_fields(row):
    answer = row["answer"]
    if answer["value"] in ("", "<unk>"):
        return None
    references = _distinct([answer["normalized_value"], *answer["normalized_aliases"]])
    question = row["question"].strip()
    if not references or not question:
        return None
    return {"question": question, "answer": references[0], "references": references}


TRIVIA_QA = register(
    TemplatedTask(
        name="trivia_qa",
        cluster="closed_book_qa",
        title="TriviaQA",
        source=Tfds(
            "trivia_qa/rc:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.trivia_qa, numbered=("question_id",), fresh=False),
        fields=_trivia_qa_fields,
        metrics=(trivia_qa,),
        templates=(
            FormatTemplate("{question}\n\nGive the answer and nothing else."),
            FormatTemplate(
                "It is quiz night at the pub, and you write for your team. What should go on the "
                "sheet, without any "
                "needless words?\n\nQuizmaster: {question}"
            ),
            FormatTemplate(
                "What is printed on the back of this trivia card?\n\nFront of the card: {question}"
            ),
            FormatTemplate(
                "General knowledge test. Whole sentences are not required.\n\n1. {question}\n\n"
                "Solution to 1:"
            ),
            FormatTemplate(
                "{question}\nI am on live television and have no idea. Quick, whisper to me what "
                "they want to hear, "
                "and not a word more!"
            ),
            FormatTemplate(
                "A list in two columns has quiz questions on the left and short answers on the "
                "right. Complete the "
                "last line of it.\n\nLeft: {question}\nRight:"
            ),
            FormatTemplate(
                "Anyone with a good memory for facts can settle this in a few words, so go "
                "ahead. {question}"
            ),
            FormatTemplate(
                "The solutions in the appendix of a quiz book are a few words long at most, and "
                "one of them is "
                "missing.\n\nItem in the book: {question}\nMissing solution:"
            ),
            FormatTemplate(
                "Host: {question}\nGuest: I know this one! It has to be ___\n\n"
                "Write what the guest says in place of the blank."
            ),
            FormatTemplate(
                "Which person, place, title or other thing is being asked for? Name it, and do "
                "not explain your choice."
                "\n{question}"
            ),
        ),
    )
)
