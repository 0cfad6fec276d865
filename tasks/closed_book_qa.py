"""Closed-book question answering: what does the model know without a text to read?"""

from flan_jax.data.sandbox import Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _arc_fields(row):
    choices = tuple(text.strip() for text in row["choices"]["text"])
    if len(choices) != 4:
        return None
    answer = choices[list(row["choices"]["label"]).index(row["answerKey"])]
    return {"question": row["question"].strip(), "choices": choices, "answer": answer}


def _arc_row(question, choices, answer):
    return {
        "id": "",
        "question": question,
        "choices": {"text": choices, "label": list(range(len(choices)))},
        "answerKey": choices.index(answer),
    }


def _arc_easy_practice(world, rng):
    fact = world.fact(rng)
    return _arc_row(fact.ask(), world.choices(fact, rng, 4), fact.value)


ARC_EASY = register(
    TemplatedTask(
        name="arc_easy",
        cluster="closed_book_qa",
        source=Tfds("ai2_arc/ARC-Easy:1.0.0", train="train[:-200]", validation="train[-200:]", test="test"),
        sandbox=Sandbox(_arc_easy_practice, train=2051, numbered=("id",)),
        fields=_arc_fields,
        options="choices",
        templates=(
            Template("{question}\n\nMark the one that is right.\n\n{options}"),
            Template("Solve this item from a school science test.\n{question}\n{options}"),
            Template("{options}\n\nWhich of the above fits here? {question}"),
            Template("Q: {question}\n{options}\nA:"),
            Template("My little brother is stuck on his homework. Can you help him?\n\n{question}\n\n{options}"),
            Template("Remember what you were taught, and answer or complete the following. {question}\n{options}"),
            Template("No books, no notes! Just go for the reply or the ending that you trust.\n{question}\n{options}"),
            Template(
                "What could a teacher ask if the reply to be heard is the following?\n{answer}",
                "{question}",
                turned_around=True,
            ),
            Template(
                "{options}\nThese are the choices of a test item. The key says: {answer}\nHow does the item begin?",
                "{question}",
                turned_around=True,
            ),
            Template(
                "Write an easy science question with four options. The correct one has to be: {answer}",
                "{question}\n{options}",
                turned_around=True,
            ),
        ),
    )
)

_WHO_OR_WHICH = {
    "home": "Who lives in {o}?",
    "job": "Which of these people works as a {o}?",
    "food": "Who likes to eat {o}?",
    "pet": "Which of these people has a {o}?",
    "car": "Who drives a {o} car?",
    "material": "Which of these things is made of {o}?",
}
_VIA_HOME = {
    "country": "In which country does {s} live?",
    "product": "What is the town where {s} lives known for?",
}


def _arc_challenge_practice(world, rng):
    """Either two steps (a person, the person's town, the fact about the town) or a question back from the value."""
    if rng.random() < 0.5:
        home = world.fact(rng, ("home",))
        about_town = rng.choice([f for f in world.about(home.value) if f.relation.name in _VIA_HOME])
        question = _VIA_HOME[about_town.relation.name].format(s=home.subject)
        return _arc_row(question, world.choices(about_town, rng, 4), about_town.value)
    fact = world.fact(rng, tuple(_WHO_OR_WHICH))
    others = [f.subject for f in world.facts if f.relation == fact.relation and f.value != fact.value]
    choices = rng.sample([fact.subject, *rng.sample(others, 3)], 4)
    return _arc_row(_WHO_OR_WHICH[fact.relation.name].format(o=fact.value), choices, fact.subject)


ARC_CHALLENGE = register(
    TemplatedTask(
        name="arc_challenge",
        cluster="closed_book_qa",
        source=Tfds("ai2_arc/ARC-Challenge:1.0.0", train="train[:-200]", validation="train[-200:]", test="test"),
        sandbox=Sandbox(_arc_challenge_practice, train=919, numbered=("id",)),
        fields=_arc_fields,
        options="choices",
        templates=(
            Template("Simple programs fail at this question. Can you do better?\n\n{question}\n\n{options}"),
            Template("{question}\nOne of these is correct, and three are not.\n{options}"),
            Template("It is the last round of the quiz, and this one is for double points: {question}\n{options}"),
            Template("Take your time and think it through. {question}\n\n{options}"),
            Template(
                "Four people were given the same problem, and no two of them agreed.\nProblem: {question}\n"
                "Whose solution is right?\n{options}"
            ),
            Template("{options}\nHold each of these against what follows and keep the one that works. {question}"),
            Template("Advanced science exam\n\nTask 7. {question}\n{options}\n\nYour answer:"),
            Template("{question}\nRule out whatever cannot be right, then name what is left.\n{options}"),
            Template("The answer is this: {answer}\nWhat was the question?", "{question}", turned_around=True),
            Template(
                "An examiner has settled on four options and still needs a hard question to go with them.\n{options}\n"
                "Correct option: {answer}\nQuestion:",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)
