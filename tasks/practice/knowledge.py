"""What people know without having read it: plain text for skills that no fact of a world teaches.

Causes and effects, how things are done, what is praise and what is blame, other languages, what
words mean, numbers, news, questions, grammar and spelling, and who is meant and what is certain
(`roles`, `beliefs`). Each maker draws one passage.
"""

import itertools
import string

from flan_jax.tasks import practice_words
from flan_jax.tasks.practice_world import clause, draw_among, sentence
from tasks.practice import everyday, misc, translation
from tasks.practice.beliefs import beliefs
from tasks.practice.commonsense import everyday_words, third_person
from tasks.practice.gaps import gap
from tasks.practice.roles import roles, woman_and_man
from tasks.practice.wordings import TOPICS


def knowledge(world, rng):
    """Returns one to four passages of everyday knowledge."""
    makers = rng.choices(list(_MAKERS), _MAKERS.values(), k=rng.randint(1, 4))
    joiner = "\n" if rng.random() < 0.3 else " "
    return joiner.join(make(world, rng) for make in makers)


def _in_order(one, other, rng):
    """Returns "one or other" in either order."""
    return " or ".join(rng.sample((one, other), 2))


# How things happen and how they are done.


def _cause_and_effect(world, rng):
    person = rng.choice(world.people)
    right, wrong = everyday.draw_from_topics(everyday.CAUSES_AND_EFFECTS, rng, 2)
    cause, effect = (text.format(s=person) for text in right)
    other_cause, other_effect = (text.format(s=person) for text in wrong)
    because, so = clause(cause), clause(effect)
    # Who did it can be read only where the effect is about the same person.
    why = gap(because) if person in effect else because
    causes = _in_order(f"because {because}", f"because {clause(other_cause)}", rng)
    first, second = rng.sample((effect, other_effect), 2)
    return rng.choice(
        (
            f"{cause} {gap(effect)}",
            f"{cause} So {gap(so)}.",
            f"{cause} The effect was that {gap(so)}.",
            f"{effect} This was because {why}.",
            f"{effect} The cause of this was that {why}.",
            f"{effect} Why? Because {why}.",
            f"{effect} What could be the cause? Perhaps {why}.",
            f"{cause} What happened next? {gap(effect)}",
            f"{effect} Was it {causes}? It was because {gap(because)}.",
            (
                f"{cause} What came of it?\n- {first}\n- {second}\n"
                f"The right one is this: {gap(effect)}"
            ),
            f"{cause} Did it lead to this: {other_effect} {gap('No')}.",
            f"{cause} Did it lead to this: {effect} {gap('Yes')}.",
            f"{cause} {first} {second} Only one of the two fits: {gap(effect)}",
        )
    )


def _activity(world, rng):
    person = rng.choice(world.people)
    right, wrong = everyday.draw_from_topics(everyday.ACTIVITIES, rng, 2)
    activity, first, second, last = right
    either = _in_order(last, wrong[-1], rng)
    does_first, does_second, does_last = (third_person(step) for step in right[1:])
    return rng.choice(
        (
            f"To {activity}, first {first}, then {second}, and in the end {gap(last)}.",
            f"This is how to {activity}. {sentence(first)}. Then {second}. Now {gap(last)}.",
            (
                f"{person} wants to {activity}. {person} {does_first} and {does_second}. "
                f"At last {person} {gap(does_last)}."
            ),
            (
                f"{person} {does_first}. After that, {person} {does_second} and {does_last}. "
                f"This is done to {gap(activity)}."
            ),
            f"{person} wanted to {activity}, but did not {first}. So it could not be done.",
            f"You have to {first}, you have to {second}: what comes next? You have to {gap(last)}.",
            (
                f"{person} {does_first}, then {person} {does_second}. What comes next: {either}? "
                f"One has to {gap(last)} in order to {activity}."
            ),
            f"How to {activity}, in three steps: {first}, {second}, {gap(last)}.",
        )
    )


def _errand(world, rng):
    person = rng.choice(world.people)
    (goal, tool), (_, other_tool) = everyday.draw_from_topics(everyday.ERRANDS, rng, 2)
    # What is named there can be read only if it is not drawn anew.
    purpose = goal if "{" in goal else gap(goal)
    words = everyday_words(world, rng)
    goal, purpose = goal.format(**words), purpose.format(**words)
    tools = _in_order(tool, other_tool, rng)
    return rng.choice(
        (
            f"To {goal}, use {gap(tool)}.",
            f"If you want to {goal}, you need {gap(tool)}.",
            f"{person} wanted to {goal}. For that, {person} took {gap(tool)}.",
            f"With {tool} you can {purpose}.",
            f"How do you {goal}? Use {gap(tool)}.",
            f"What does one need to {goal}, {tools}? One needs {gap(tool)}.",
            f"Which would you use to {goal}: {tools}? I would use {gap(tool)}.",
            f"{person} tried to {goal} with {other_tool}. It went better with {gap(tool)}.",
            f'"What should I do if I want to {goal}?" asked {person}. "Use {gap(tool)}."',
        )
    )


def _story(world, rng):
    beginning, *ways = rng.choice(everyday.STORIES)
    words = everyday_words(world, rng)
    (turn, ending), (_, other_ending) = (
        [text.format(**words) for text in way] for way in rng.sample(ways, 2)
    )
    beginning = beginning.format(**words)
    either = " ".join(rng.sample((ending, other_ending), 2))
    return rng.choice(
        (
            f"{beginning} {turn} {gap(ending)}",
            f"{beginning} {turn} In the end, {gap(clause(ending))}.",
            f"{beginning} {turn} How did it end? {gap(ending)}",
            f"{beginning} {turn} It did not end like this: {other_ending} But: {gap(ending)}",
            f"{beginning} {turn} Which is the end? {either} It is this: {gap(ending)}",
        )
    )


# Praise and blame.

_SUBJECTS = ("film", "book", "play", "song", "meal", "hotel", "shop", "trip")
_LIKES = {
    "praise": ("great", "wonderful", "happy"),
    "blame": ("terrible", "awful", "unhappy"),
}


def _opinion(world, rng):
    """A remark, how it is meant, and what the same person would say or do."""
    kind, other_kind = rng.sample(("praise", "blame"), 2)
    person, friend = rng.sample(world.people, 2)
    first, second, third = rng.sample(everyday.OPINION_WORDS[kind], 3)
    result = rng.choice(everyday.OPINION_RESULTS[kind])
    against = rng.choice(everyday.OPINION_WORDS[other_kind])
    subject = rng.choice(_SUBJECTS)
    praised = kind == "praise"
    positive = "positive" if praised else "negative"
    liked = "liked" if praised else "did not like"
    good, better, happy = _LIKES[kind]
    remark = rng.choice(
        (
            f"The {subject} was {first}.",
            f"The {subject} was {first} and {second}.",
            f"The {subject} was {first}. {result}",
            f"What a {subject}! {result}",
            f"{sentence(first)}, {second}, {third}!",
            f"The {world.products[0]} was {first}, the {world.foods[0]} {second}. {result}",
        )
    )
    return rng.choice(
        (
            f'"{remark}" That is {gap(positive)}.',
            f"{remark} The feeling is {gap(positive)}.",
            f"{remark} All in all, it was {gap(good)}.",
            f"{remark} Good or bad? {gap('Good' if praised else 'Bad')}.",
            f"{remark} Would I say so to praise or to blame? To {gap('praise' if praised else 'blame')}.",
            f"{remark} I am so {gap(happy)}.",
            f"{remark} In short, the {subject} was {gap(better)}.",
            f"{remark} That is to say, my visit was {gap(good)}.",
            f'{person} said: "{remark}" So {person} {gap(liked)} it.',
            f'{person} wrote: "{remark}" It was a {gap(positive)} review.',
            f"{remark} Is this positive or negative? It is {gap(positive)}.",
            f'{person} said: "{remark}" {friend} said: "It was {third}." So they {gap("agree")}.',
            f"{person} called it {first}, {friend} called it {against}. They {gap('do not agree')}.",
            f"To call something {first} is {gap('praise' if praised else 'blame')}.",
        )
    )


_LIKED = (
    "{s} liked it very much.",
    "{s} was happy.",
    "{s} would do it again.",
    "It was a positive surprise for {s}.",
    "{s} was full of praise.",
    "{s} smiled.",
)
_DISLIKED = (
    "{s} did not like it at all.",
    "{s} was angry.",
    "{s} will never do it again.",
    "It was a negative surprise for {s}.",
    "{s} had nothing good to say.",
    "{s} was sad.",
)


def _mood(world, rng):
    """What somebody found good or bad, and how that person felt."""
    name = rng.choice(world.people)
    good = rng.random() < 0.5
    first, second = rng.sample(everyday.OPINION_WORDS["praise" if good else "blame"], 2)
    what = rng.choice(
        (
            "book",
            "film",
            "song",
            "meal",
            "trip",
            "town",
            "day",
            "play",
            "house",
            "evening",
        )
    )
    article = "an" if first[0] in "aeiou" else "a"
    said = rng.choice(
        (
            f'"The {what} is {first} and {second}," said {name}.',
            f"{name} called the {what} {first}.",
            f"For {name} it was {article} {first} {what}.",
            f'"What {article} {first} {what}!" said {name}.',
        )
    )
    felt = gap(rng.choice(_LIKED if good else _DISLIKED).format(s=name))
    if rng.random() < 0.5:
        felt = f"Did {name} like it? {gap('Yes' if good else 'No')}."
    return f"{said} {felt}"


# Other languages, and what words mean.

_LANGUAGES = (
    ("Spanish", "es", translation.para_crawl_enes),
    ("French", "fr", translation.wmt14_enfr),
    ("German", "de", translation.wmt16_translate_deen),
    ("Turkish", "tr", translation.wmt16_translate_tren),
    ("Czech", "cs", translation.wmt16_translate_csen),
    ("Finnish", "fi", translation.wmt16_translate_fien),
    ("Romanian", "ro", translation.wmt16_translate_roen),
    ("Russian", "ru", translation.wmt16_translate_ruen),
    ("Danish", "da", misc.para_crawl_enda),
)


def _translation(world, rng):
    """The same in English and in another language, either of them first."""
    language, code, make = rng.choice(_LANGUAGES)
    pair = make(world, rng)
    english, foreign = pair["en"], pair[code]
    person = rng.choice(world.people)
    return rng.choice(
        (
            f"{english} In {language} one says: {foreign}",
            f"{foreign} This is {language}. It means: {english}",
            f"In English: {english} In {language}: {foreign}",
            f"In {language}: {foreign} In English: {english}",
            f'{person} speaks {language}. "{english}" is "{foreign}" there.',
            f'"{foreign}" is {language}. In English one says: "{english}"',
            f"{english}\n{foreign}",
            f"{foreign}\n{english}",
        )
    )


_SENSES = {
    "bat": ("an animal that flies at night", "a stick to hit a ball with"),
    "crane": ("a bird with long legs", "a machine that lifts things"),
    "mouse": ("a small animal", "a part of a computer"),
    "seal": ("an animal that lives by the sea", "a stamp on a letter"),
    "chicken": ("a bird on a farm", "meat on a plate"),
    "duck": ("a bird on a lake", "meat on a plate"),
    "goose": ("a bird on a farm", "meat on a plate"),
    "lamb": ("a young sheep", "meat on a plate"),
    "rabbit": ("an animal with long ears", "meat on a plate"),
    "turkey": ("a bird on a farm", "meat on a plate"),
    "calf": ("a young cow", "a part of the leg"),
    "liver": ("a part of the body", "meat on a plate"),
    "kidney": ("a part of the body", "meat on a plate"),
    "tongue": ("a part of the mouth", "meat on a plate"),
    "chest": ("a part of the body", "a big box"),
    "nail": ("a part of a finger", "a piece of metal to hang a picture on"),
    "bank": ("a place that keeps money", "the side of a river"),
    "ring": ("a piece of jewelry for a finger", "the sound of a bell"),
    "bark": ("the skin of a tree", "the sound of a dog"),
    "letter": ("a sign such as A or B", "a message on paper"),
}
"""What a word may mean."""


def _sense(world, rng):
    word = rng.choice(list(_SENSES))
    one, other = rng.sample(_SENSES[word], 2)
    senses = itertools.chain.from_iterable(_SENSES.values())
    none = rng.choice(sorted(set(senses) - set(_SENSES[word])))
    person, friend = rng.sample(world.people, 2)
    return rng.choice(
        (
            f'The word "{word}" can mean {one}, and it can mean {other}.',
            f'"{sentence(word)}" has two meanings: {one}, or {other}.',
            (
                f'{person} says "{word}" and means {one}. {friend} also means {one}. In '
                f'these two sentences "{word}" has {gap("the same meaning")}.'
            ),
            (
                f'{person} says "{word}" and means {one}. {friend} means {other}. In '
                f'these two sentences "{word}" has {gap("different meanings")}.'
            ),
            f'Does "{word}" mean {one} or {other}? It can mean either.',
            f'Can "{word}" mean {one}? {gap("Yes")}. Can it mean {none}? {gap("No")}.',
            f'Some people use "{word}" for {one}, others for {other}.',
        )
    )


# Numbers.

_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)  # fmt: skip


def small_sum(world, rng):
    """A sum or a difference in words or digits, or things counted in a small story."""
    one, two = rng.sample(range(1, 11), 2)
    total, first, second = _NUMBERS[one + two], _NUMBERS[one], _NUMBERS[two]
    more, less = max(one, two), min(one, two)
    person, friend = rng.sample(world.people, 2)
    thing = rng.choice(world.things)
    left = _NUMBERS[one]
    shared = f"{person} had {total} coins and gave {second} to {friend}."
    return rng.choice(
        (
            f"{sentence(first)} and {second} make {gap(total)}.",
            f"{one} + {two} = {one + two}",
            f"{one + two} - {two} = {one}",
            f"{sentence(total)} minus {second} is {gap(first)}.",
            f"{one} times {two} is {gap(str(one * two))}.",
            f"{sentence(first)} in digits is {one}, and {total} in digits is {one + two}.",
            f"{person} has {one} coins and {friend} has {two}. Together it makes {gap(str(one + two))}.",
            f"{shared} {person} has {gap(left)} coins left.",
            f"{shared} How many coins are left? {gap(sentence(left))}.",
            (
                f"The {thing} cost {less} coins in the morning and {more} in the evening. "
                f"The difference is {gap(str(more - less))}."
            ),
            f"{more} is more than {less}.",
        )
    )


def equation(world, rng):
    """An equation with one unknown, and its solution."""
    letter = rng.choice(string.ascii_lowercase)
    value, factor = rng.randint(-9, 9), rng.randint(2, 5)
    added = rng.randint(1, 9)
    product = factor * value
    return rng.choice(
        (
            f"If {factor} times {letter} is {product}, then {letter} is {gap(str(value))}.",
            f"{factor}*{letter} = {product}, so {letter} = {value}.",
            f"{product} = {factor}*{letter}, so {letter} = {value}.",
            (
                f"{factor}*{letter} + {added} = {product + added}. "
                f"So {factor}*{letter} = {product}, and {letter} = {value}."
            ),
            (
                f"{factor}*{letter} - {added} = {product - added}. "
                f"So {factor}*{letter} = {product}, and {letter} = {value}."
            ),
            f"-{factor}*{letter} = {-product}. The solution is {letter} = {gap(str(value))}.",
            f"What is {letter}, if {letter} plus {added} is {value + added}? It is {gap(str(value))}.",
        )
    )


# News and questions.

_NEWS = {
    "the world": (
        "The war in {country} is over.",
        "There was a flood in {country}, and many people had to flee.",
        "{country} has a new president.",
        "The government of {country} has lost the vote.",
        "{country} and {other} have signed a treaty.",
        "Soldiers have crossed the border of {country}.",
        "People marched through {town} and asked for a new government.",
    ),
    "sports": (
        "{s} won the {sport} final in {town}.",
        "{town} has lost another match, and the coach has to go.",
        "The {sport} team of {town} scored three goals.",
        "{s} has set a new record and won a medal.",
        "{s} is injured and cannot play in the next match.",
        "The fans in {town} cheered when {s} scored.",
    ),
    "business": (
        "The price of {product} has gone up.",
        "A firm in {town} will close its factory.",
        "Profits fell, and so did the shares of the company from {town}.",
        "Two banks in {town} have become one.",
        "{country} sells more {product} abroad than it buys.",
        "The company of {s} will cut a hundred jobs.",
    ),
    "science and technology": (
        "A new planet has been seen with the telescope in {town}.",
        "Researchers have found out how a {pet} sleeps.",
        "A new robot can cook {food}.",
        "Engineers in {town} have built a faster computer.",
        "The internet in {town} has a new network.",
        "Scientists have measured the ice in the north of {country}.",
    ),
}
"""What each part of a newspaper tells."""


def _news(world, rng):
    part, other_part = rng.sample(list(_NEWS), 2)
    country, other = rng.sample(world.countries, 2)
    text = rng.choice(_NEWS[part]).format(
        s=rng.choice(world.people),
        country=country,
        other=other,
        town=rng.choice(world.towns),
        sport=rng.choice(world.sports),
        product=rng.choice(world.products),
        food=rng.choice(world.foods),
        pet=rng.choice(world.pets),
    )
    person = rng.choice(world.people)
    return rng.choice(
        (
            f"{text} This was in the part of the paper on {gap(part)}.",
            f"{text} It is news about {gap(part)}.",
            f"{text} {person}, who only reads about {part}, {gap('read it')} with interest.",
            f"{text} {person}, who only reads about {other_part}, {gap('did not read it')}.",
            f"Is this about {_in_order(part, other_part, rng)}? {text} It is about {gap(part)}.",
            f'In the news on {part}: "{text}"',
        )
    )


_ASKED_FOR = {
    "home": "a place", "country": "a place", "visit": "a place", "kept": "a place",
    "food": "a thing", "pet": "a thing", "color": "a thing", "product": "a thing",
    "material": "a thing", "drink": "a thing", "sport": "a thing", "car": "a thing",
    "bought": "a thing", "letter": "a person", "owner": "a person",
    "price": "a number", "born": "a number",
}  # fmt: skip
"""What a question for the value of a relation asks for; a date counts as a number."""

_OTHER_QUESTIONS = {
    "a description": (
        "Why does {s} live in {town}?",
        "How does one make a {thing}?",
        "What does a {job} do?",
        "Why is the {place} closed?",
        "What does the word {thing} mean?",
    ),
    "an abbreviation": (
        "What do the letters {letters} mean?",
        "What is {letters} short for?",
        "How does one write {town} in short?",
    ),
    "a number": (
        "How many people live in {town}?",
        "How old is {s}?",
        "How far is it to {town}?",
        "When did {s} come to {town}?",
        "How long does it take to get to {town}?",
    ),
}


def _kind_of_answer(world, rng):
    """A question, and what one has to name to answer it."""
    if rng.random() < 0.5:
        topic = rng.choice([t for t in TOPICS if t.relation.name in _ASKED_FOR])
        subject = rng.choice(getattr(world, topic.relation.subjects))
        value = rng.choice(world.values(topic.relation))
        kind = _ASKED_FOR[topic.relation.name]
        question = rng.choice(topic.questions).format(s=subject)
        if topic.relation.subjects == "people" and rng.random() < 0.5:
            kind, question = "a person", rng.choice(topic.back).format(o=value)
    else:
        kind = rng.choice(list(_OTHER_QUESTIONS))
        question = rng.choice(_OTHER_QUESTIONS[kind]).format(
            s=rng.choice(world.people),
            town=rng.choice(world.towns),
            thing=rng.choice(world.things),
            job=rng.choice(world.jobs),
            place=rng.choice(world.places_in_town),
            letters="".join(rng.sample(string.ascii_uppercase, 3)),
        )
    others = {*_ASKED_FOR.values(), *_OTHER_QUESTIONS} - {kind}
    wrong = rng.choice(sorted(others))
    person = rng.choice(world.people)
    return rng.choice(
        (
            f'"{question}" To answer this, one has to name {gap(kind)}.',
            f'"{question}" The answer will be {gap(kind)}.',
            f'"{question}" {person} asks for {kind}, not for {wrong}.',
            f'Whoever asks "{question}" wants to hear {gap(kind)}.',
            f'"{question}" Does this ask for {_in_order(kind, wrong, rng)}? For {gap(kind)}.',
        )
    )


# Grammar and spelling.

_AGREEMENT = {
    "is": "are", "has": "have", "lives": "live", "works": "work", "likes": "like",
    "drives": "drive", "plays": "play", "was": "were", "belongs": "belong", "drinks": "drinking",
}  # fmt: skip


def _damage(words, rng):
    """Returns the words of a sentence with one mistake in them, which no reader can miss."""
    verbs = [i for i, word in enumerate(words) if word in _AGREEMENT]
    needed = [i for i in verbs if words[i] != "has"]  # "found work" is right, too
    articles = [
        i for i, word in enumerate(words[:-1]) if word in ("a", "the", "of", "in")
    ]
    kinds = ["doubled"]
    if verbs:
        kinds.append("agreement")
    if needed:
        kinds.append("missing")
    if articles:
        kinds.append("order")
    kind = rng.choice(kinds)
    if kind == "agreement":
        at = rng.choice(verbs)
        return [*words[:at], _AGREEMENT[words[at]], *words[at + 1 :]]
    if kind == "missing":
        at = rng.choice(needed)
        return [*words[:at], *words[at + 1 :]]
    if kind == "order":
        at = rng.choice(articles)
        return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
    at = rng.randrange(len(words))
    return [*words[: at + 1], *words[at:]]


def _statement(world, rng, topics=TOPICS):
    """Draws any fact of one of the topics, told in any wording."""
    topic = rng.choice(topics)
    subject = rng.choice(getattr(world, topic.relation.subjects))
    values = [value for value in world.values(topic.relation) if value != subject]
    said = rng.choice(topic.statements).format(s=subject, o=rng.choice(values))
    return sentence(said)


def _grammar(world, rng):
    """A sentence, and whether it is put together correctly."""
    # Whether "the food of Ida is apples" is correct is debatable.
    topics = [topic for topic in TOPICS if topic.relation.name != "food"]
    correct = _statement(world, rng, topics)
    words = clause(correct).split(" ")
    broken = f"{sentence(' '.join(_damage(words, rng)))}."
    person = rng.choice(world.people)
    return rng.choice(
        (
            f'"{correct}" To anybody who speaks English, this sentence sounds {gap("right")}.',
            f'"{broken}" To anybody who speaks English, this sentence sounds {gap("wrong")}.',
            f'"{correct}" The grammar is {gap("correct")}.',
            f'"{broken}" The grammar is {gap("not correct")}.',
            f'"{broken}" That is wrong. It should be: "{correct}"',
            f'{person} wrote: "{broken}" It had a mistake, and now it reads: "{correct}"',
            f'One does not say "{broken}", one says "{correct}"',
            f'"{correct}" This sentence is {gap("acceptable")}.',
            f'"{broken}" This sentence is {gap("not acceptable")}.',
        )
    )


def _spelling(world, rng):
    """A sentence without its capitals, its punctuation or its spaces, and as it should be."""
    text = " ".join(_statement(world, rng) for _ in range(rng.randint(1, 2)))
    lower = text.lower()
    bare = text.translate(str.maketrans("", "", string.punctuation))
    closed = text.replace(" ", "")
    person = rng.choice(world.people)
    return rng.choice(
        (
            f"Without capitals: {lower} With capitals: {text}",
            f'{person} never uses capitals and writes "{lower}" for "{text}"',
            f"In small letters: {lower} As it should be: {text}",
            f"Without its marks: {bare} With its marks: {text}",
            f'"{bare}" is hard to read. It is better like this: "{text}"',
            f"Without spaces: {closed} With spaces: {text}",
            f'"{closed}" {person} could read it all the same: "{text}"',
            f"{text} In small letters: {lower}",
            f"{text} Without spaces: {closed}",
        )
    )


# What texts have in common, and what they are about.


def _likeness(world, rng):
    """Two sentences, and how much of their meaning they share."""
    topic, other_topic = rng.sample(TOPICS, 2)
    kind, other_kind = topic.relation.subjects, other_topic.relation.subjects
    subject, other_subject = rng.sample(getattr(world, kind), 2)
    value, other_value = rng.sample(world.values(topic.relation), 2)
    wordings = rng.sample(topic.statements, 2)
    said = sentence(wordings[0].format(s=subject, o=value))
    again = sentence(wordings[1].format(s=subject, o=value))
    changed = sentence(wordings[1].format(s=subject, o=other_value))
    about_other = sentence(wordings[1].format(s=other_subject, o=value))
    unlike_subject = rng.choice(getattr(world, other_kind))
    unlike_value = rng.choice(world.values(other_topic.relation))
    unlike = rng.choice(other_topic.statements).format(s=unlike_subject, o=unlike_value)
    return rng.choice(
        (
            f'"{said}" "{again}" They {gap("say exactly the same")}.',
            f'"{said}" "{changed}" They are about the same subject, but they {gap("do not say the same")}.',
            f'"{said}" "{about_other}" They are alike, but {gap("not about the same subject")}.',
            f'"{said}" "{sentence(unlike)}" They {gap("have little in common")}.',
        )
    )


def _heard(world, rng):
    """A short talk in which somebody tells something, and what it comes to."""
    one, two = rng.sample(world.people, 2)
    said = _statement(world, rng)
    asked = rng.choice(
        ("Have you heard?", "Do you know what?", "Any news?", "Guess what!")
    )
    reply = rng.choice(
        ("Really?", "I did not know that.", "Good to know.", "Thanks for telling me.")
    )
    return rng.choice(
        (
            (
                f"{one}: {asked} {said} {two}: {reply} "
                f"In short: {one} tells {two} that {clause(said)}."
            ),
            f"{one}: {said}\n{two}: {reply}\n{one} has told {two} that {clause(said)}.",
            (
                f'{one} wrote: "{asked} {said}" {two} wrote back: "{reply}" '
                f"So {two} knows now that {clause(said)}."
            ),
        )
    )


def _words_together(world, rng):
    """A few words, and a sentence that has all of them."""
    place = draw_among(world.places_in_town, practice_words.MEETING_PLACES, rng)
    job, thing, pet = (
        rng.choice(world.jobs),
        rng.choice(world.things),
        rng.choice(world.pets),
    )
    words, text = rng.choice(
        (
            ((job, thing, place), f"The {job} carries a {thing} to the {place}."),
            ((pet, place, "sleep"), f"A {pet} sleeps near the {place}."),
            ((job, pet, "feed"), f"A {job} feeds the {pet}."),
            ((thing, place, "buy"), f"Somebody buys a {thing} at the {place}."),
            ((job, "look", pet), f"The {job} looks at a {pet}."),
            ((pet, thing, "sit"), f"The {pet} sits beside a {thing}."),
        )
    )
    listed = ", ".join(rng.sample(words, 3))
    return rng.choice(
        (
            f"{listed}: {text}",
            f"With {listed} one can say: {text}",
            f"{text} In this sentence there are these words: {listed}",
        )
    )


_MAKERS = {
    _cause_and_effect: 5,
    _activity: 4,
    _errand: 4,
    _story: 3,
    _opinion: 6,
    _mood: 2,
    _translation: 2,
    _sense: 2,
    small_sum: 1,
    equation: 1,
    _news: 1,
    _kind_of_answer: 1,
    _grammar: 3,
    _spelling: 1,
    _likeness: 1,
    _heard: 1,
    _words_together: 1,
    roles: 10,
    woman_and_man: 3,
    beliefs: 3,
}
"""How often each kind of passage is drawn, in relation to the others."""
