"""Practice documents: the plain text that a base model of the practice worlds is trained on.

Most documents have a world of their own, so that only reading tells what is true in them. Others
tell what is true in the constant world, which closed-book questions are about, or everyday
knowledge (`knowledge.py`). What the tasks ask for occurs here as people would write or say it:
questions and answers, what follows and what does not, other words for the same, choices, tables,
short versions, translations, moods. Small scenes (`scenes.py`) use the words of the templates where
people use them. No text has the form of a template.
"""

import itertools

from flan_jax.tasks import practice_world
from flan_jax.tasks.practice_world import Fact, clause, sentence
from tasks.practice.gaps import cut_at_gap, exercise, gap, unmarked
from tasks.practice.knowledge import knowledge
from tasks.practice.scenes import scene
from tasks.practice.word_games import (
    find_in_pairs,
    in_another_order,
    list_again,
    word_game,
)
from tasks.practice.wordings import TOPIC_OF, TOPICS, UNKNOWN

_SHARES = {
    "reading": 0.34,
    "constant": 0.06,
    "scene": 0.05,
    "knowledge": 0.35,
    "game": 0.20,
}
"""The share of each kind of document."""
_EXERCISES = 0.5
"""The share of the documents with gaps that have numbers in them."""
_LISTS_AMONG_PAIRS = 0.2
"""The share of lists to be written again among texts of pairs alone."""
_PAIRS_AS_EXERCISES = 0.2
"""The share of texts of pairs that have numbers in their gaps."""
_CUT_AT_A_GAP = 0.7
"""The share of the other documents with gaps that are cut before one of them."""
_SCENE_BESIDE = 0.1
"""The share of reading documents that have a scene beside the facts."""
_RIVALS = 0.6
"""The share of reading documents whose facts are all of one relation."""
_FEW_WORDINGS = 0.5
"""The share of those in which each fact is told in one of two wordings."""
_LETTERED = 0.4
"""The share of choices whose options have letters or numbers."""
_LONGEST = 560
"""The characters of the longest text. A longer one would lose its end, where its questions are."""
_BRIDGES = (
    "The missing words:",
    "What is missing?",
    "Here is what is missing:",
    "These words go there:",
)
"""What stands between a text with numbers and the words that they stand for."""


def document(world, rng):
    """A text of a few sentences, in two parts: its beginning, and what a reader is to say."""
    return _in_two_parts(_short_enough(_text, world, rng), _EXERCISES, rng)


def _short_enough(make, world, rng):
    """Draws texts until one is not too long."""
    text = make(world, rng)
    while len(text) > _LONGEST:
        text = make(world, rng)
    return text


def word_list(world, rng):
    """A list of words to be written again, for a model that knows nothing yet."""
    return _row(*cut_at_gap(list_again(world, rng), rng))


def word_pairs(world, rng):
    """Words of pairs to be found, for a model that can write lists again."""
    if rng.random() < _LISTS_AMONG_PAIRS:
        return word_list(world, rng)
    text = _word_games(find_in_pairs, world, rng)
    return _in_two_parts(text, _PAIRS_AS_EXERCISES, rng)


def retelling(world, rng):
    """A text to be told again, for a model that finds words and cannot read yet."""
    return _row(*cut_at_gap(_short_enough(_retelling, world, rng), rng))


def knowledge_alone(world, rng):
    """A document of everyday knowledge alone."""
    return _in_two_parts(_short_enough(knowledge, world, rng), _EXERCISES, rng)


def _in_two_parts(text, exercises, rng):
    """Divides a text.

    Args:
      text: a text with its gaps marked.
      exercises: the share of texts whose beginning is the whole text with numbers in its gaps.
      rng: the random numbers.
    """
    if rng.random() < exercises:
        parts = exercise(text)
        if parts is not None:
            numbered, words = parts
            return _row(f"{numbered}\n{rng.choice(_BRIDGES)}", words)
    if rng.random() < _CUT_AT_A_GAP:
        parts = cut_at_gap(text, rng)
        if parts is not None:
            return _row(*parts)
    return _row(*_cut_anywhere(unmarked(text), rng))


def _row(beginning, rest):
    return {"beginning": beginning, "rest": rest, "idx": 0}


def _cut_anywhere(text, rng):
    """Cuts a text between two words of its second half."""
    words = text.split(" ")
    rest = rng.randint(1, (len(words) + 1) // 2)
    cut = max(len(words) - rest, 1)
    return " ".join(words[:cut]), " ".join(words[cut:])


def _text(world, rng):
    """A text with its gaps marked."""
    (kind,) = rng.choices(list(_SHARES), _SHARES.values())
    if kind == "constant":
        return _known_facts(practice_world.world(), rng)
    if kind == "scene":
        return scene(world, rng)
    if kind == "knowledge":
        return knowledge(world, rng)
    if kind == "game":
        return _word_games(word_game, world, rng)
    if rng.random() < _SCENE_BESIDE:
        return "\n".join(rng.sample((_reading(world, rng), scene(world, rng)), 2))
    return _reading(world, rng)


def _word_games(game, world, rng):
    joiner = "\n" if rng.random() < 0.3 else " "
    return joiner.join(game(world, rng) for _ in range(rng.randint(1, 3)))


def _known_facts(world, rng):
    """What is true in the constant world: each fact in two wordings or with its question."""
    topics = [topic for topic in TOPICS if topic.relation in practice_world.RELATIONS]
    topic_of = {topic.relation: topic for topic in topics}
    pieces = []
    subject = rng.choice((*world.people, *world.people, *world.towns, *world.things))
    # What everybody knows of the subject is known, whether it is said here or not.
    known = [
        _Told(topic_of[fact.relation], fact, world) for fact in world.about(subject)
    ]
    for each in rng.sample(known, min(len(known), rng.randint(2, 4))):
        if rng.random() < 0.5:
            pieces += each.topic.say_twice(each.fact, rng)
        else:
            pieces += [each.state(rng), rng.choice(_ANSWERED)(each, known, rng)]
    opener = rng.choice(
        ("As everybody knows,", "It is well known:", "Here is what we know.", "")
    )
    if opener.endswith(","):
        pieces[0] = f"{clause(pieces[0])}."
    return " ".join([opener, *pieces]).strip()


class _Told:
    """A fact that a document states, with what can be asked about it."""

    def __init__(self, topic, fact, world):
        self.topic = topic
        self.fact = fact
        self.world = world
        self.stated = None

    def state(self, rng):
        """Returns the fact as a sentence."""
        self.stated = self.topic.say(self.fact, rng)
        return self.stated

    def ask_and_answer(self, rng):
        """Returns a question for the value, and the value."""
        return f"{self.topic.ask(self.fact, rng)} {sentence(self.fact.value)}."

    def say_again(self, rng):
        """Returns the fact in other words than those in which it was last stated."""
        wordings = self.topic.say_twice(self.fact, rng)
        return next(said for said in wordings if said != self.stated)

    def other_values(self, rng, count):
        """Returns other values of the relation; none is the value or the subject of the fact."""
        taken = (self.fact.value, self.fact.subject)
        values = [v for v in self.world.values(self.fact.relation) if v not in taken]
        return rng.sample(values, min(count, len(values)))

    def rival_values(self, told):
        """Returns the values that the text names for other subjects, without this fact's own.

        Args:
          told: all facts of the text.
        """
        taken = (self.fact.subject, self.fact.value)
        values = [each.fact.value for each in told if each.topic == self.topic]
        return [value for value in dict.fromkeys(values) if value not in taken]

    def wrong(self, told, rng):
        """Returns the fact with another value, often that of another subject of the text.

        Whether a word occurs in the text is then no sign of what is true.

        Args:
          told: all facts of the text.
          rng: the random numbers.
        """
        rivals = self.rival_values(told)
        if rivals and rng.random() < 0.7:
            value = rng.choice(rivals)
        else:
            (value,) = self.other_values(rng, 1)
        return Fact(self.fact.relation, self.fact.subject, value)


def draw_rivals(world, rng, count, topic=None):
    """Draws facts of one relation about different subjects, each with a value of its own.

    Args:
      world: the world of the text.
      rng: the random numbers.
      count: the number of facts; fewer are drawn if the relation has too few values.
      topic: what the facts are about; None for any topic.
    """
    topic = topic or rng.choice(TOPICS)
    subjects = getattr(world, topic.relation.subjects)
    values = world.values(topic.relation)
    count = min(count, len(subjects), len(values) // 2)
    subjects = rng.sample(subjects, count)
    values = rng.sample([v for v in values if v not in subjects], count)
    facts = [Fact(topic.relation, *each) for each in zip(subjects, values, strict=True)]
    return [_Told(topic, fact, world) for fact in facts]


def draw_told(world, rng, count, first_topic=None):
    """Draws facts to state: no subject has two of a relation, and at times two share a subject.

    Args:
      world: the world of the text.
      rng: the random numbers.
      count: the number of facts.
      first_topic: the topic of the first fact; None for any.
    """
    told = []
    seen = set()
    subject_of = {}
    while len(told) < count:
        topic = rng.choice(TOPICS) if told else first_topic or rng.choice(TOPICS)
        kind = topic.relation.subjects
        subjects = getattr(world, kind)
        if kind in subject_of and rng.random() < 0.4:
            subject = subject_of[kind]
        else:
            subject = rng.choice(subjects)
        values = [value for value in world.values(topic.relation) if value != subject]
        fact = Fact(topic.relation, subject, rng.choice(values))
        if (subject, topic) in seen:
            continue
        seen.add((subject, topic))
        subject_of[kind] = subject
        told.append(_Told(topic, fact, world))
        if len(told) < count and rng.random() < 0.5:
            rival = _rival(topic, fact, world, rng)
            if rival is not None and (rival.subject, topic) not in seen:
                seen.add((rival.subject, topic))
                told.append(_Told(topic, rival, world))
    return told


def _rival(topic, fact, world, rng):
    """Returns a fact of the same relation about another subject, with another value."""
    taken = (fact.subject, fact.value)
    subjects = [s for s in getattr(world, topic.relation.subjects) if s not in taken]
    values = [v for v in world.values(topic.relation) if v not in taken]
    subject = rng.choice(subjects)
    values = [value for value in values if value != subject]
    return Fact(topic.relation, subject, rng.choice(values)) if values else None


_OPENERS = (
    "",
    "",
    "",
    "Here is a story.",
    "This was in the paper.",
    "Listen to this.",
    "We have some news.",
    "Let me tell you something.",
    "I read this in a book.",
    "These are the facts.",
)


def _facts(world, rng, count):
    """Draws the facts of a text, mostly of one relation."""
    if rng.random() >= _RIVALS:
        return draw_told(world, rng, count)
    topic = rng.choice(TOPICS)
    if rng.random() < _FEW_WORDINGS:
        topic = topic.in_few_words(rng)
    return draw_rivals(world, rng, max(count, 2), topic)


def _retelling(world, rng):
    """Facts, and all of them again: as they were, in other words, or as questions and answers.

    As in a list that is written again, each value that is to be written goes with a subject, which
    stands just before it. So a model learns from it to read sentences.
    """
    told = _facts(world, rng, rng.randint(2, 4))
    text = " ".join(each.state(rng) for each in told)
    bridge, say_again = rng.choice(_WAYS_TO_RETELL)
    reordered = in_another_order(told, rng)
    again = " ".join(say_again(each, rng) for each in reordered)
    return f"{text} {bridge} {gap(again)}"


_WAYS_TO_RETELL = (
    ("In another order:", lambda each, rng: each.stated),
    ("In other words:", lambda each, rng: each.say_again(rng)),
    ("Questions and answers:", lambda each, rng: each.ask_and_answer(rng)),
    ("Questions and answers:", lambda each, rng: each.ask_and_answer(rng)),
)


def _reading(world, rng):
    """Facts of a world of their own, and then things that only their reader can say."""
    told = _facts(world, rng, rng.choice((1, 2, 2, 3, 3, 4)))
    opener = rng.choice(_OPENERS)
    shape = rng.random()
    if shape < 0.12:
        statement = _table(told, rng)
    elif shape < 0.2:
        statement = _short_version(told, rng)
    else:
        statement = " ".join(each.state(rng) for each in told)
    pieces = [opener, statement] if opener else [statement]
    for _ in range(rng.choice((2, 3, 4, 5, 6))):
        each = rng.choice(told)
        make = rng.choice(_FOLLOW_UPS)
        pieces.append(make(each, told, rng))
    joiner = "\n" if rng.random() < 0.25 else " "
    return joiner.join(pieces)


def _table(told, rng):
    """Facts as a table, and what it says in sentences, in one order or the other."""
    lines = []
    for subject, group in itertools.groupby(told, key=lambda each: each.fact.subject):
        lines.append(
            rng.choice((f"Name: {subject}", f"About {subject}", sentence(subject)))
        )
        lines += [f"{each.topic.label}: {each.fact.value}" for each in group]
    table = rng.choice(("\n", ", ", " | ")).join(lines)
    text = " ".join(each.state(rng) for each in told)
    bridge = rng.choice(
        ("In words:", "This table says:", "That means:", "To say it in sentences:")
    )
    if rng.random() < 0.7:
        return f"{table}\n{bridge} {text}"
    return f"{text}\nAs a table:\n{table}"


def _short_version(told, rng):
    """A text with asides, and its main point."""
    asides = rng.sample(_ASIDES, min(2, len(told) + 1))
    first, *rest = told
    text = [first.state(rng), asides[0]]
    text += [each.state(rng) for each in rest]
    text += asides[1:]
    bridge = rng.choice(
        (
            "In short:",
            "To sum up:",
            "The main point is this:",
            "In a few words:",
            "The headline:",
        )
    )
    main = [each.topic.say(each.fact, rng) for each in told[: 1 + (len(told) > 2)]]
    return f"{' '.join(text)} {bridge} {' '.join(main)}"


_ASIDES = (
    "It rained all day.",
    "Nobody was surprised.",
    "The neighbors talked about it for a long time.",
    "That was last year.",
    "We heard about it on the radio.",
    "There was nothing else to report.",
    "More people came later.",
    "The weather was fine.",
    "It is a long story.",
    "We met an old friend on the way.",
)


# Answers to questions.


def _name(world, rng, told):
    """Returns somebody whom the document says nothing about."""
    used = {word for each in told for word in (each.fact.subject, each.fact.value)}
    return rng.choice([name for name in world.people if name not in used])


def _answer(each, told, rng):
    """An open question, answered."""
    fact = each.fact
    if rng.random() < 0.35:
        alike = [o for o in told if (o.topic, o.fact.value) == (each.topic, fact.value)]
        if len(alike) == 1:
            question, answer = each.topic.ask_back(fact, rng), fact.subject
            return _question_and_answer(each, told, question, answer, rng)
    return _question_and_answer(each, told, each.topic.ask(fact, rng), fact.value, rng)


def _question_and_answer(each, told, question, answer, rng):
    name = _name(each.world, rng, told)
    frames = (
        f"{question} {gap(sentence(answer))}.",
        f'"{question}" asked {name}. The answer is {gap(answer)}.',
        f'"{question}" "{gap(sentence(answer))}," said {name}.',
        f"Question: {question} Answer: {gap(answer)}",
        f"{question}\n{gap(answer)}",
        f"{name} asked: {question} Somebody said: {gap(answer)}.",
    )
    return rng.choice(frames)


def _claim(each, told, kind, rng):
    """Draws something to be asked about.

    Args:
      each: a fact of the text.
      told: all facts of the text.
      kind: "yes" for what the text says, "no" for what it rules out, "open" for neither.
      rng: the random numbers.

    Returns:
      The topic and the fact; None if the text leaves nothing open.
    """
    if kind == "yes":
        return each.topic, each.fact
    if kind == "no":
        return each.topic, each.wrong(told, rng)
    fact = _left_open(each, told, rng)
    if fact is None:
        return None
    return TOPIC_OF[fact.relation.name], fact


def _yes_no(each, told, rng):
    """A question whether something is true, answered with yes or no, or with a doubt."""
    kind = rng.choice(("yes", "no", "yes", "no", "open"))
    claim = _claim(each, told, kind, rng)
    if claim is None:
        return _answer(each, told, rng)
    topic, fact = claim
    question = sentence(topic.ask_yes_no(fact, rng))
    name = _name(each.world, rng, told)
    words = rng.choice(UNKNOWN) if kind == "open" else kind
    short, answer = gap(words), gap(sentence(words))
    frames = [
        f"{question}? {answer}.",
        f'"{question}?" asked {name}. The answer is {short}.',
        f'"{question}?" "{answer}," said {name}.',
        f"Question: {question}? Answer: {short}",
        f"{question}?\n{short}",
        f"{question}, yes or no? {answer}.",
        f"{name} wants to know: {question[:1].lower()}{question[1:]}? We have to say {short}.",
    ]
    if kind != "open":
        frames += [
            f"{question}? {answer}, {gap(each.fact.value)}.",
            f"{question}? It is {gap(each.fact.value)}, so {short}.",
        ]
    return rng.choice(frames)


def _true_false(each, told, rng):
    """What is true or false by the text."""
    true = rng.random() < 0.5
    said = each.topic.say(each.fact if true else each.wrong(told, rng), rng)
    inner = clause(said)
    words = rng.choice(
        (("true", "false"), ("right", "wrong"), ("correct", "not correct"))
    )
    word = gap(words[not true])
    frames = (
        f"So it is {word} that {inner}.",
        f"That {inner} is {word}.",
        f"Is this true or false? {said} It is {gap('true' if true else 'false')}.",
        f"{said} This is {word}.",
        f"By what we read, it is {word} that {inner}.",
        f"{said} This is {word}. What is right is {gap(each.fact.value)}.",
        f"Somebody says that {inner}. What is right is {gap(each.fact.value)}. That is {word}.",
        f"Somebody says that {inner}. That is {word}.",
    )
    return rng.choice(frames)


def _follows(each, told, rng):
    """What follows from the text, what it rules out, and what it leaves open."""
    kind = rng.choice(("yes", "no", "open"))
    claim = _claim(each, told, kind, rng)
    if claim is None:
        return _answer(each, told, rng)
    topic, fact = claim
    said = topic.say(fact, rng)
    inner = clause(said)
    if rng.random() < 0.6:
        answer = gap(sentence(rng.choice(UNKNOWN) if kind == "open" else kind))
        frames = (
            f"Does it follow that {inner}? {answer}.",
            f"Can we conclude that {inner}? {answer}.",
            f"Is it certain that {inner}? {answer}.",
            f"{said} Does this follow? {answer}.",
            f"{said} Does the text support it? {answer}.",
            f"Then is it so that {inner}? {answer}.",
            f"Is it so that {inner}? {answer}.",
        )
    elif kind == "yes":
        frames = (
            f"From this it {gap('follows')} that {inner}.",
            f"We {gap('can be sure')} that {inner}.",
            f"Somebody concludes that {inner}. {gap('It is so')}.",
            f"To say that {inner} would be {gap('close')} to the text.",
            f"Those who think that {inner} are {gap('not mistaken')}.",
            f"The text {gap('supports')} it: {inner}.",
        )
    elif kind == "no":
        frames = (
            f"From this it {gap('does not follow')} that {inner}.",
            f"Somebody concludes that {inner}. {gap('It is not so')}.",
            f"To say that {inner} would be {gap('against')} the text.",
            f"Those who think that {inner} are {gap('mistaken')}.",
            f"The text {gap('speaks against')} it: {inner}.",
        )
    else:
        frames = (
            f"From this it {gap('does not follow')} that {inner}.",
            f"Somebody concludes that {inner}. {gap('Nobody can say')}.",
            f"We {gap('cannot know')} whether {inner}.",
            f"Those who think that {inner} {gap('cannot know it')}.",
            f"The text {gap('does not speak')} of it: {inner}.",
            f"{topic.ask(fact, rng)} {gap('The text does not say')}.",
        )
    return rng.choice(frames)


_ALIKE = ({"car", "bought"}, {"home", "visit"})
"""Relations of which one may tell the other: who bought a green car drives one."""


def _left_open(each, told, rng):
    """Returns something of the fact's subject that the text does not tell; None if it tells all."""
    stated = {(o.fact.subject, o.fact.relation) for o in told}
    known = {
        relation.name for subject, relation in stated if subject == each.fact.subject
    }
    for alike in _ALIKE:
        if known & alike:
            known |= alike
    unsaid = [
        topic
        for topic in TOPICS
        if topic.relation.subjects == each.topic.relation.subjects
        and topic.relation.name not in known
    ]
    if not unsaid:
        return None
    topic = rng.choice(unsaid)
    values = [v for v in each.world.values(topic.relation) if v != each.fact.subject]
    return Fact(topic.relation, each.fact.subject, rng.choice(values))


# The same in other words.


def _other_words(each, told, rng):
    """A fact again, in other words."""
    said = each.say_again(rng)
    value = each.fact.value
    if value in said:
        said = gap(value).join(said.rsplit(value, 1))
    opener = rng.choice(
        (
            "In other words,",
            "That is,",
            "To say it again,",
            "This means that",
            "To put it another way,",
            "It comes to the same to say that",
        )
    )
    return f"{opener} {clause(said)}."


def _same_meaning(each, told, rng):
    """Two sentences, and whether they mean the same."""
    same = rng.random() < 0.5
    if same:
        one, other = each.topic.say_twice(each.fact, rng)
    else:
        one = each.topic.say(each.fact, rng)
        other = each.topic.say(each.wrong(told, rng), rng)
    yes_or_no = gap("Yes" if same else "No")
    mean = gap("mean" if same else "do not mean")
    is_same = gap("is the same" if same else "is not the same")
    agree = gap("agree" if same else "do not agree")
    frames = (
        f'"{one}" "{other}" These two sentences {mean} the same.',
        f"To say that {clause(one)} {is_same} as to say that {clause(other)}.",
        f"{one} {other} Do both say the same? {yes_or_no}.",
        f"One says: {one} The other says: {other} They {agree}.",
    )
    return rng.choice(frames)


# Choices.


def _choice(each, told, rng):
    """Several possible answers, one of them right."""
    fact = each.fact
    count = rng.randint(1, 3)
    rivals = each.rival_values(told)
    if rng.random() < 0.5 and len(rivals) >= count:
        options = [fact.value, *rng.sample(rivals, count)]
    else:
        options = [fact.value, *each.other_values(rng, count)]
    rng.shuffle(options)
    right = gap(fact.value)
    question = each.topic.ask(fact, rng)
    if rng.random() < _LETTERED:
        return _lettered_choice(question, options, fact.value, rng)
    name = _name(each.world, rng, told)
    listed = "\n".join(f"- {option}" for option in options)
    in_a_row = f"{', '.join(options[:-1])} or {options[-1]}"
    listed_all = f"{', '.join(options[:-1])} and {options[-1]}"
    frames = (
        f"{question} {sentence(in_a_row)}? The answer is {right}.",
        f"{question}\n{listed}\nThe right one is this: {right}",
        f"{question} Choose from these:\n{listed}\n{right}",
        f"{name} had the choice of {listed_all} and took the right answer, {right}.",
        f"There are {len(options)} options: {listed_all}. {question} {gap(sentence(fact.value))}.",
        f"{question}\n{listed}\n{name} picked {right}.",
    )
    return rng.choice(frames)


def _lettered_choice(question, options, answer, rng):
    """A choice of which the right one's letter or number is said."""
    # No number in brackets: those stand for gaps.
    marks, form = rng.choice((("abcd", "({}) {}"), ("1234", "{}: {}")))
    marks = marks[: len(options)]
    marked = [form.format(*pair) for pair in zip(marks, options, strict=True)]
    right = marks[options.index(answer)]
    one_below_the_other = "\n".join(marked)
    in_a_row = " ".join(marked)
    frames = (
        f"{question}\n{one_below_the_other}\nThe right one is {gap(right)}.",
        f"{question}\n{one_below_the_other}\n{gap(right)}",
        f"{question} {in_a_row}. It is {gap(right)}.",
        f"{question} {in_a_row}. It is {gap(right)}, {gap(answer)}.",
        f"{question} {in_a_row}. The answer is {gap(answer)}, so it is {gap(right)}.",
    )
    return rng.choice(frames)


def _yes_no_choice(each, told, rng):
    """A list of possible answers, yes and no among them, and the right one."""
    kind = rng.choice(("yes", "no", "yes", "no", "open"))
    claim = _claim(each, told, kind, rng)
    if claim is None:
        return _answer(each, told, rng)
    topic, fact = claim
    words = rng.choice((("yes", "no"), ("true", "false"), ("right", "wrong")))
    unknown = rng.choice(UNKNOWN)
    if words[0] == "yes":
        question = f"{sentence(topic.ask_yes_no(fact, rng))}?"
    else:
        question = f"{topic.say(fact, rng)} Is that {words[0]}?"
    options = rng.sample(words, 2)
    if kind == "open" or rng.random() < 0.4:
        options.insert(rng.randrange(3), unknown)
    listed = "\n".join(f"- {option}" for option in options)
    right = gap({"yes": words[0], "no": words[1], "open": unknown}[kind])
    frames = (
        f"{question}\n{listed}\nThe right one is this: {right}",
        f"{question} Choose from these:\n{listed}\n{right}",
        f"{question} {sentence(', '.join(options))}: the answer is {right}.",
        f"{question}\n{listed}\n{right}",
    )
    return rng.choice(frames)


_ANSWERED = (_answer, _answer, _yes_no, _true_false, _other_words, _choice)
_FOLLOW_UPS = (
    _answer,
    _answer,
    _yes_no,
    _yes_no,
    _yes_no,
    _yes_no,
    _true_false,
    _true_false,
    _true_false,
    _true_false,
    _follows,
    _follows,
    _follows,
    _follows,
    _other_words,
    _same_meaning,
    _same_meaning,
    _choice,
    _choice,
    _yes_no_choice,
    _yes_no_choice,
)
