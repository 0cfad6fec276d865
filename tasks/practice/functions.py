"""Small functions of a text: what `practice_1000` asks a thousand times in different ways.

A function is a skill (which question is asked), a topic (what the text is about), a form (the words
or the shape of its answers) and a place (what stands first in the prompt). `functions()` draws a
hundred of each skill.
"""

import dataclasses
import itertools
import random
from collections.abc import Callable, Mapping

from flan_jax.tasks.practice_world import World, sentence
from tasks.practice.documents import draw_told
from tasks.practice.wordings import TOPIC_OF

PER_SKILL = 100
PLACES = ("before", "after")
"""Whether the instruction and the options stand before the text or after it."""

_PAIRS = (
    ("yes", "no"),
    ("true", "false"),
    ("right", "wrong"),
    ("correct", "not correct"),
    ("agree", "disagree"),
)
_TRIPLES = (
    ("yes", "no", "maybe"),
    ("true", "false", "unknown"),
    ("right", "wrong", "nobody knows"),
    ("it follows", "it cannot be", "it is not possible to tell"),
    ("always", "never", "perhaps"),
)
_READING = ("reading_comp", "reading_comp_w_commonsense")
_ANSWERS = ("word", "sentence", "list")
_CHOICES = ("statement", "letter", "number")
_TABLES = (": ", " = ", " | ")

Row = Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class Skill:
    """A kind of question.

    Attributes:
      make: draws a row of a topic and a form.
      forms: the forms of its answers.
      instructions: what a prompt may ask for.
      lists_options: whether options are listed, by the form.
      related: the clusters of FLAN's that ask for the same.
    """

    make: Callable[..., Row]
    forms: tuple
    instructions: tuple[str, ...]
    lists_options: Callable[[object], bool]
    related: tuple[str, ...]

    def patterns(self, place: str, listed: bool) -> list[str]:
        """Returns a template for each of the instructions.

        Args:
          place: one of PLACES.
          listed: whether options are listed.
        """
        options = "\n{options}" if listed else ""
        asked = [f"{instruction}{options}" for instruction in self.instructions]
        if place == "before":
            return [f"{text}\n{{text}}\n{{question}}" for text in asked]
        return [f"{{text}}\n{{question}}\n{text}" for text in asked]


@dataclasses.dataclass(frozen=True)
class Function:
    """One task of `practice_1000`.

    Attributes:
      skill: a name of SKILLS.
      topic: a name of TOPIC_OF.
      form: one of the skill's forms, by its index.
      place: one of PLACES.
    """

    skill: str
    topic: str
    form: int
    place: str

    @property
    def name(self) -> str:
        """The task's name, such as "made_yes_no_home_2_after"."""
        return f"made_{self.skill}_{self.topic}_{self.form}_{self.place}"

    @property
    def lists_options(self) -> bool:
        """Whether the prompt lists the possible answers."""
        skill = SKILLS[self.skill]
        return skill.lists_options(skill.forms[self.form])

    def patterns(self) -> tuple[str, ...]:
        """Returns the task's templates: two of the skill's, drawn by the name."""
        patterns = SKILLS[self.skill].patterns(self.place, self.lists_options)
        return tuple(random.Random(self.name).sample(patterns, 2))

    def maker(self) -> Callable[[World, random.Random], Row]:
        """Returns the function that makes its rows, named after it: the name seeds the rows."""
        skill = SKILLS[self.skill]
        topic = TOPIC_OF[self.topic]
        form = skill.forms[self.form]

        def make(world, rng):
            return skill.make(topic, form, world, rng)

        make.__qualname__ = self.name
        return make


def _told(topic, world, rng):
    """Returns the facts of a text, the first of them of the topic, and the text."""
    told = draw_told(world, rng, rng.randint(2, 3), topic)
    stated = rng.sample(told, len(told))
    return told, " ".join(each.state(rng) for each in stated)


def _is_asked(told, rng):
    """Returns the fact to ask for: the first, or another one of its topic."""
    return rng.choice([each for each in told if each.topic == told[0].topic])


def _answered(text, question, answer, others, form, rng):
    """Returns a row whose answer is a word of the text, in one of _ANSWERS."""
    if form == "sentence":
        answer = f"The answer is {answer}."
        others = [f"The answer is {other}." for other in others]
    options = rng.sample([answer, *others], len(others) + 1)
    return {"text": text, "question": question, "options": options, "answer": answer}


def _value(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    question = topic.ask(each.fact, rng)
    others = each.other_values(rng, 3)
    return _answered(text, question, each.fact.value, others, form, rng)


def _subject(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    taken = (each.fact.subject, each.fact.value)
    subjects = [s for s in getattr(world, topic.relation.subjects) if s not in taken]
    others = rng.sample(subjects, min(3, len(subjects)))
    question = topic.ask_back(each.fact, rng)
    return _answered(text, question, each.fact.subject, others, form, rng)


def _gap(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    wording = each.say_again(rng)
    question = wording.replace(each.fact.value, "___")
    others = each.other_values(rng, 3)
    return _answered(text, question, each.fact.value, others, form, rng)


def _labelled(text, question, label, labels):
    """Returns a row whose answer is one of a form's words."""
    return {
        "text": text,
        "question": question,
        "options": list(labels),
        "answer": labels[label],
    }


def _yes_no(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    label = rng.randrange(2)
    fact = each.fact if label == 0 else each.wrong(told, rng)
    question = f"{sentence(topic.ask_yes_no(fact, rng))}?"
    return _labelled(text, question, label, form)


def _statement(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    label = rng.randrange(2)
    said = topic.say(each.fact if label == 0 else each.wrong(told, rng), rng)
    return _labelled(text, said, label, form)


def _follows(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    label = rng.randrange(3)
    if label == 2:
        subjects = {other.fact.subject for other in told}
        values = {other.fact.value for other in told}
        unknown = [
            s
            for s in getattr(world, topic.relation.subjects)
            if s not in subjects | values
        ]
        fact = dataclasses.replace(each.fact, subject=rng.choice(unknown))
    else:
        fact = each.fact if label == 0 else each.wrong(told, rng)
    return _labelled(text, topic.say(fact, rng), label, form)


def _same(topic, form, world, rng):
    told = draw_told(world, rng, 1, topic)
    each = told[0]
    label = rng.randrange(2)
    one, other = topic.say_twice(each.fact, rng)
    if label == 1:
        other = topic.say(each.wrong(told, rng), rng)
    return _labelled(one, other, label, form)


def _mentions(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    label = rng.randrange(2)
    subject = _is_asked(told, rng).fact.subject
    if label == 1:
        taken = {other.fact.subject for other in told}
        taken |= {other.fact.value for other in told}
        unknown = [s for s in getattr(world, topic.relation.subjects) if s not in taken]
        subject = rng.choice(unknown)
    return _labelled(text, f"Does the text speak of {subject}?", label, form)


def _choice(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    right = each.say_again(rng)
    wrong = []
    for value in each.other_values(rng, 2):
        fact = dataclasses.replace(each.fact, value=value)
        wrong.append(topic.say(fact, rng))
    statements = rng.sample([right, *wrong], len(wrong) + 1)
    place = statements.index(right)
    if form == "statement":
        marks = statements
        question = "Which one is true?"
    else:
        marks = list("abc") if form == "letter" else ["1", "2", "3"]
        marks = marks[: len(statements)]
        question = "\n".join(
            f"({mark}) {said}" for mark, said in zip(marks, statements, strict=True)
        )
    return {
        "text": text,
        "question": question,
        "options": marks,
        "answer": marks[place],
    }


def _table(topic, form, world, rng):
    told, text = _told(topic, world, rng)
    each = _is_asked(told, rng)
    answer = f"{each.fact.subject}, {topic.label.lower()}{form}{each.fact.value}"
    question = f"What is said of {each.fact.subject}?"
    return {"text": text, "question": question, "answer": answer}


def _always(form):
    return True


def _never(form):
    return False


def _is_list(form):
    return form == "list"


SKILLS = {
    "value": Skill(
        _value,
        _ANSWERS,
        (
            "Answer the question about the text.",
            "Find the answer in the text above or below.",
            "Read the text and give the answer.",
            "What does the text say? Reply to the question.",
            "Use the text to respond to the question.",
        ),
        _is_list,
        _READING,
    ),
    "subject": Skill(
        _subject,
        _ANSWERS,
        (
            "Name who or what is meant.",
            "Which name is the answer?",
            "The text tells who or what it is. Write it.",
            "Give the name that the question asks for.",
            "Reply with the one that the text names.",
        ),
        _is_list,
        _READING,
    ),
    "gap": Skill(
        _gap,
        _ANSWERS,
        (
            "Fill the gap so that it agrees with the text.",
            "Which words are missing?",
            "Complete the sentence.",
            "Write what belongs into the empty place.",
            "Something is missing in the sentence. What is it?",
        ),
        _is_list,
        _READING,
    ),
    "yes_no": Skill(
        _yes_no,
        _PAIRS,
        (
            "Answer with one of the options.",
            "Choose the answer that the text supports.",
            "Is it so? Pick an option.",
            "What would a reader of the text reply?",
            "Reply to the question with one of these.",
        ),
        _always,
        ("nli", "paraphrase", *_READING),
    ),
    "statement": Skill(
        _statement,
        _PAIRS,
        (
            "Judge the sentence by the text.",
            "Can the sentence be believed if the text is?",
            "Compare the sentence with the text.",
            "What do you say to the sentence after reading the text?",
            "Decide whether the sentence is in line with the text.",
        ),
        _always,
        ("nli", "paraphrase", *_READING),
    ),
    "follows": Skill(
        _follows,
        _TRIPLES,
        (
            "Does the text let us conclude the sentence?",
            "Can we infer the sentence?",
            "Premise and hypothesis: what holds between them?",
            "If the text is so, what of the sentence?",
            "Is the sentence sure, ruled out or open?",
        ),
        _always,
        ("nli", "paraphrase", *_READING),
    ),
    "same": Skill(
        _same,
        _PAIRS,
        (
            "Do both sentences mean the same?",
            "Is the second sentence the first in other words?",
            "Compare the meaning of the two sentences.",
            "Do these say one and the same thing?",
            "Is that a paraphrase?",
        ),
        _always,
        ("nli", "paraphrase"),
    ),
    "mentions": Skill(
        _mentions,
        _PAIRS,
        (
            "Look for the name in the text.",
            "Is that name in the text?",
            "Check whether the text tells something about it.",
            "Search the text and pick an option.",
            "Can you find it in the text?",
        ),
        _always,
        _READING,
    ),
    "choice": Skill(
        _choice,
        _CHOICES,
        (
            "Pick the one that the text supports.",
            "Only one of them agrees with the text. Choose it.",
            "Select the true one.",
            "Which one can a reader of the text be sure of?",
            "Decide for one of the options.",
        ),
        _always,
        _READING,
    ),
    "table": Skill(
        _table,
        _TABLES,
        (
            "Write it as a line of a table.",
            "Make a short note of what the text says.",
            "Put that fact into a table.",
            "Give name, kind and value.",
            "Write down the fact in short.",
        ),
        _never,
        ("struct_to_text",),
    ),
}


def functions() -> tuple[Function, ...]:
    """Returns the thousand functions: PER_SKILL of each skill, drawn from all combinations."""
    drawn = []
    for name, skill in SKILLS.items():
        every = [
            Function(name, topic, form, place)
            for topic, form, place in itertools.product(
                TOPIC_OF, range(len(skill.forms)), PLACES
            )
        ]
        drawn += random.Random(name).sample(every, PER_SKILL)
    return tuple(drawn)
