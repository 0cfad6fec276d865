"""Reading comprehension: answer from a text, or from a fact and what goes with it."""

from flan_jax.data.sandbox import Sandbox, sentence
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _bool_q_fields(row):
    return {
        "question": row["question"].strip().rstrip("?").rstrip(),
        "title": row["title"].strip(),
        "passage": row["passage"].strip(),
        "answer": ("no", "yes")[row["answer"]],
    }


def _bool_q_practice(world, rng):
    fact = world.fact(rng)
    stated = {fact, world.other(fact, rng)}
    if rng.random() < 0.5:
        stated.add(world.fact(rng))
    passage = [f.say(rng.randrange(3)) for f in sorted(stated, key=lambda f: (f.relation.name, f.subject))]
    answer = rng.random() < 0.5
    return {
        "question": (fact if answer else world.wrong(fact, rng)).ask_yes_no(rng.choice((None, 0, 1, 2))),
        "title": sentence(fact.subject),
        "passage": " ".join(rng.sample(passage, len(passage))),
        "answer": answer,
    }


BOOL_Q = register(
    TemplatedTask(
        name="bool_q",
        cluster="reading_comp",
        source=Tfds("bool_q:1.0.0", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_bool_q_practice),
        fields=_bool_q_fields,
        options=("no", "yes"),
        templates=(
            Template("{passage}\n\nQuestion: {question}?\n\n{options}"),
            Template("Answer this with the help of the text below: {question}?\n\n{passage}\n\n{options}"),
            Template(
                "Search query: {question}\nBest match: {title}\nExcerpt: {passage}\n"
                "What does the excerpt reply to the query?\n{options}"
            ),
            Template(
                "Study the entry, then take the test. It has one question.\n\n{title}\n{passage}\n\n"
                "Test: {question}?\n\n{options}"
            ),
            Template('{options}\nPick the one that answers "{question}?" according to this passage.\n{passage}'),
            Template(
                "I have been wondering, {question}? All I could find was the following. What do you make of it?\n"
                "{passage}\n{options}"
            ),
            Template(
                "Passage: {passage}\nNow that you know the passage, what do you tell someone who asks, "
                "{question}?\n{options}"
            ),
            Template("A page on the subject of {title} says:\n{passage}\nGoing by that page, {question}?\n{options}"),
            Template("{passage}\n\nYes or no, {question}?"),
            Template(
                'Two friends are arguing over "{question}?" and decide to look it up. They find this.\n{passage}\n'
                "What is the verdict?\n{options}"
            ),
        ),
    )
)


def _openbookqa_fields(row):
    question = row["question"]
    choices = tuple(question[f"choice_{letter}"].strip() for letter in "ABCD")
    fact = row["fact1"].strip().rstrip(".")
    return {
        "question": question["stem"].strip(),
        "fact": sentence(f"{fact}.") if fact else "",
        "choices": choices,
        "answer": choices[row["answerKey"]],
    }


_STEMS = {
    "material": ("The {s} is made of", "What did they make the {s} from?", "Somebody who touches the {s} touches"),
    "product": ("The town of {s} is famous for its", "What do people buy in {s}?", "A shop in {s} will surely sell"),
    "country": ("The town of {s} is in", "Which country does {s} belong to?", "A person who travels to {s} goes to"),
}
_STEMS_BACK = {
    "material": ("One thing made of {o} is the", "Which of these did they make from {o}?"),
    "product": ("A person who wants to buy {o} should go to", "Which town is known for its {o}?"),
    "country": ("One of the towns in {o} is", "Which of these towns is in {o}?"),
}


def _openbookqa_practice(world, rng):
    fact = world.fact(rng, tuple(_STEMS))
    name = fact.relation.name
    others = [f.subject for f in world.facts if f.relation == fact.relation and f.value != fact.value]
    if rng.random() < 0.5 or len(others) < 3:
        stem, answer = rng.choice(_STEMS[name]).format(s=fact.subject), fact.value
        choices = world.choices(fact, rng, 4)
    else:
        stem, answer = rng.choice(_STEMS_BACK[name]).format(o=fact.value), fact.subject
        choices = rng.sample([answer, *rng.sample(others, 3)], 4)
    stated = fact.relation.statements[rng.randrange(3)].format(s=fact.subject, o=fact.value)
    return {
        "question": {"stem": stem} | {f"choice_{letter}": c for letter, c in zip("ABCD", choices, strict=True)},
        "fact1": stated.rstrip("."),
        "humanScore": 1.0,
        "clarity": 2.0,
        "turkIdAnonymized": "practice",
        "answerKey": choices.index(answer),
    }


OPENBOOKQA = register(
    TemplatedTask(
        name="openbookqa",
        cluster="reading_comp",
        source=Tfds("openbookqa:0.1.0", train="train", validation="validation[:200]", test="test"),
        sandbox=Sandbox(_openbookqa_practice),
        fields=_openbookqa_fields,
        options="choices",
        templates=(
            Template("{question}\n\n{options}\n\nWhich of these is the best answer or ending?"),
            # Where a source has no facts, the two templates that show one simply begin with their second line.
            Template("{fact}\n\n{question}\n\n{options}"),
            Template("{fact}\nPut your knowledge of the world to use here.\n{question}\n{options}"),
            Template(
                "The books are open, and the teacher reads out: {question}\nWhat should the class reply?\n{options}"
            ),
            Template("Answer the question or complete the statement, whichever it is. {question}\n{options}"),
            Template("{options}\nSelect what goes best with the following. {question}"),
            Template("Front of the flash card: {question}\nWhat is printed on the back?\n{options}"),
            Template(
                "In a science museum a screen shows this line: {question}\nThere are four buttons under it. "
                "Which one should a visitor press?\n{options}"
            ),
            Template(
                "Work backwards. This solves a small puzzle about how the world works: {answer}\nWhat is the puzzle?",
                "{question}",
                turned_around=True,
            ),
            Template(
                "{options}\nWrite a question or the start of a sentence for which only one of these four will do, "
                "namely this one: {answer}",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)
