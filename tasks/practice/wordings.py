"""How plain text states facts: more relations than the tasks have, and more wordings of each."""

import dataclasses

from flan_jax.tasks.practice_world import RELATIONS, Fact, Relation, clause, sentence

Wordings = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Topic:
    """A relation and all the ways in which plain text speaks of it.

    In all texts `{s}` is the subject of a fact and `{o}` its value.

    Attributes:
      relation: the relation; its statements are among the wordings.
      statements: wordings of a fact, each a sentence.
      questions: questions for the value.
      back: questions for the subject.
      yes_no: questions whether a fact is true, without a question mark.
      label: the head of the fact in a table.
    """

    relation: Relation
    statements: Wordings
    questions: Wordings
    back: Wordings
    yes_no: Wordings
    label: str

    def say(self, fact: Fact, rng) -> str:
        """Returns the fact in one of the wordings, as a sentence."""
        return sentence(
            rng.choice(self.statements).format(s=fact.subject, o=fact.value)
        )

    def say_twice(self, fact: Fact, rng) -> list[str]:
        """Returns the fact in two different wordings."""
        wordings = rng.sample(self.statements, 2)
        return [
            sentence(text.format(s=fact.subject, o=fact.value)) for text in wordings
        ]

    def in_few_words(self, rng) -> "Topic":
        """Returns the topic with two of its wordings and one of its questions of each kind."""
        return dataclasses.replace(
            self,
            statements=tuple(rng.sample(self.statements, 2)),
            questions=(rng.choice(self.questions),),
            back=(rng.choice(self.back),),
            yes_no=(rng.choice(self.yes_no),),
        )

    def ask(self, fact: Fact, rng) -> str:
        """Returns a question for the value of the fact."""
        return rng.choice(self.questions).format(s=fact.subject)

    def ask_back(self, fact: Fact, rng) -> str:
        """Returns a question for the subject of the fact."""
        return rng.choice(self.back).format(o=fact.value)

    def ask_yes_no(self, fact: Fact, rng) -> str:
        """Returns a question whether the fact is true, without a question mark."""
        if rng.random() < 0.3:
            return f"is it true that {clause(self.say(fact, rng))}"
        return rng.choice(self.yes_no).format(s=fact.subject, o=fact.value)


_OF_TASKS = {relation.name: relation for relation in RELATIONS}


def _more(name, statements, questions, back, yes_no, label):
    """Returns a topic of a relation that the tasks have, too."""
    relation = _OF_TASKS[name]
    return Topic(
        relation,
        (*relation.statements, *statements),
        (relation.question, *questions),
        back,
        (relation.yes_no, *yes_no),
        label,
    )


def _new(name, subjects, values, statements, questions, back, yes_no, label):
    """Returns a topic of plain text alone."""
    relation = Relation(name, subjects, values, statements[:3], questions[0], yes_no[0])
    return Topic(relation, statements, questions, back, yes_no, label)


TOPICS = (
    _more(
        "home",
        ("In {o} you can meet {s}.",),
        ("In which town does {s} live?", "What is the home town of {s}?", "Where is the house of {s}?"),
        ("Who lives in {o}?", "Who has a house in {o}?", "Who comes from {o}?"),
        ("is the home of {s} in {o}", "does {s} come from {o}"),
        "Home",
    ),
    _more(
        "job",
        ("{s} has found work as a {o}.",),
        ("What does {s} do for a living?", "How does {s} earn money?", "Which job does {s} have?"),
        ("Who works as a {o}?", "Who is a {o}?", "Who earns money as a {o}?"),
        ("does {s} work as a {o}", "is {s} a {o} by trade"),
        "Job",
    ),
    _more(
        "food",
        ("{s} loves {o} more than any other food.",),
        ("What is the favorite food of {s}?", "Which food does {s} like best?", "What is {s} fond of?"),
        ("Who likes to eat {o}?", "Who is fond of {o}?", "Who loves {o}?"),
        ("is {s} fond of {o}", "does {s} love {o}"),
        "Food",
    ),
    _more(
        "pet",
        ("Every morning {s} feeds a {o}.",),
        (
            "What is the pet of {s}?",
            "What kind of animal lives with {s}?",
            "Which animal does {s} look after?",
        ),
        ("Who has a {o}?", "Who looks after a {o}?", "Who lives with a {o}?"),
        ("does {s} look after a {o}", "is the pet of {s} a {o}"),
        "Pet",
    ),
    _more(
        "car",
        ("{s} bought a {o} car.",),
        ("What is the color of the car of {s}?", "Which color does the car of {s} have?"),
        ("Who drives a {o} car?", "Whose car is {o}?", "Who has a {o} car?"),
        ("does {s} drive a {o} car", "does {s} have a {o} car"),
        "Car",
    ),
    _more(
        "country",
        ("Those who visit {s} travel to {o}.",),
        ("Which country does {s} belong to?", "What is the country of {s}?", "Where is the town of {s}?"),
        ("Which town is in {o}?", "Which town belongs to {o}?", "Which town lies in {o}?"),
        ("does {s} belong to {o}", "is the town of {s} in {o}"),
        "Country",
    ),
    _more(
        "product",
        ("They make {o} in {s}.",),
        ("What is {s} famous for?", "What do people buy in {s}?", "What do they make in {s}?"),
        ("Which town is known for its {o}?", "Where do they make {o}?", "Where do people buy {o}?"),
        ("is {s} famous for its {o}", "do they make {o} in {s}"),
        "Product",
    ),
    _more(
        "material",
        ("The {s} is a {o} one.",),
        ("What did they make the {s} from?", "Which material is the {s} made of?"),
        ("Which thing is made of {o}?", "What did they make from {o}?"),
        ("did they make the {s} from {o}", "is the material of the {s} {o}"),
        "Material",
    ),
    _new(
        "sport",
        "people",
        "sports",
        (
            "{s} plays {o}.",
            "The sport of {s} is {o}.",
            "{s} is good at {o}.",
            "On Sundays {s} plays {o}.",
            "Of all sports {s} likes {o} best.",
        ),
        ("Which sport does {s} play?", "What is {s} good at?", "What does {s} play on Sundays?"),
        ("Who plays {o}?", "Who is good at {o}?"),
        ("does {s} play {o}", "is {s} good at {o}"),
        "Sport",
    ),
    _new(
        "drink",
        "people",
        "drinks",
        (
            "{s} drinks {o}.",
            "The favorite drink of {s} is {o}.",
            "In the evening {s} drinks {o}.",
            "{s} always asks for {o}.",
            "A glass of {o} makes {s} happy.",
        ),
        ("What does {s} drink?", "What is the favorite drink of {s}?", "What does {s} ask for?"),
        ("Who drinks {o}?", "Who always asks for {o}?"),
        ("does {s} drink {o}", "does {s} always ask for {o}"),
        "Drink",
    ),
    _new(
        "born",
        "people",
        "months",
        (
            "{s} was born in {o}.",
            "The birthday of {s} is in {o}.",
            "In {o} it is the birthday of {s}.",
            "Every {o}, {s} is a year older.",
            "{s} has a birthday in {o}.",
        ),
        (
            "In which month was {s} born?",
            "When is the birthday of {s}?",
            "When was {s} born?",
        ),
        ("Who was born in {o}?", "Who has a birthday in {o}?"),
        ("was {s} born in {o}", "is the birthday of {s} in {o}"),
        "Birthday",
    ),
    _new(
        "letter",
        "people",
        "people",
        (
            "{s} wrote a letter to {o}.",
            "{o} got a letter from {s}.",
            "A letter was sent to {o} by {s}.",
            "{o} has read the letter of {s}.",
        ),
        ("To whom did {s} write a letter?", "Who got a letter from {s}?", "Who read the letter of {s}?"),
        ("Who wrote a letter to {o}?", "From whom did {o} get a letter?"),
        ("did {s} write a letter to {o}", "did {o} get a letter from {s}"),
        "Letter to",
    ),
    _new(
        "bought",
        "people",
        "things",
        (
            "{s} bought a {o}.",
            "There was a {o} for sale, and {s} took it.",
            "{s} paid for a {o}.",
            "{s} went home with a {o}.",
            "The new {o} was bought by {s}.",
        ),
        ("What did {s} buy?", "What did {s} pay for?", "What did {s} take home?"),
        ("Who bought a {o}?", "Who paid for a {o}?"),
        ("did {s} buy a {o}", "did {s} pay for a {o}"),
        "Bought",
    ),
    _new(
        "visit",
        "people",
        "places_in_town",
        (
            "{s} is at the {o}.",
            "{s} went to the {o}.",
            "You can find {s} at the {o}.",
            "The {o} is where {s} is now.",
            "{s} is waiting at the {o}.",
        ),
        ("Where is {s}?", "Where did {s} go?", "Where can you find {s}?"),
        ("Who is at the {o}?", "Who went to the {o}?", "Who is waiting at the {o}?"),
        ("is {s} at the {o}", "did {s} go to the {o}"),
        "Place",
    ),
    _new(
        "kept",
        "things",
        "places_in_town",
        (
            "The {s} is at the {o}.",
            "They keep the {s} at the {o}.",
            "Somebody left the {s} at the {o}.",
            "The {s} was found at the {o}.",
            "At the {o} there is a {s}.",
        ),
        ("Where is the {s}?", "Where do they keep the {s}?", "Where was the {s} found?"),
        ("What is at the {o}?", "What was found at the {o}?", "What do they keep at the {o}?"),
        ("is the {s} at the {o}", "was the {s} found at the {o}"),
        "Place",
    ),
    _new(
        "color",
        "things",
        "colors",
        (
            "The {s} is {o}.",
            "The color of the {s} is {o}.",
            "They painted the {s} {o}.",
            "It is a {o} {s}.",
            "The {s} has a {o} color.",
        ),
        ("What color is the {s}?", "What is the color of the {s}?", "Which color has the {s}?"),
        ("Which thing is {o}?", "What did they paint {o}?"),
        ("is the {s} {o}", "is the color of the {s} {o}"),
        "Color",
    ),
    _new(
        "owner",
        "things",
        "people",
        (
            "The {s} belongs to {o}.",
            "The owner of the {s} is {o}.",
            "{o} owns the {s}.",
            "It is {o} who has the {s}.",
            "The {s} is a present for {o}.",
        ),
        ("Who owns the {s}?", "Who is the owner of the {s}?", "To whom does the {s} belong?"),
        ("What does {o} own?", "Which thing belongs to {o}?"),
        ("does the {s} belong to {o}", "is {o} the owner of the {s}"),
        "Owner",
    ),
    _new(
        "price",
        "things",
        "numbers",
        (
            "The {s} costs {o} coins.",
            "The price of the {s} is {o} coins.",
            "You can buy the {s} for {o} coins.",
            "Somebody paid {o} coins for the {s}.",
            "They ask {o} coins for the {s}.",
        ),
        (
            "How many coins does the {s} cost?",
            "How much is the {s}?",
            "What is the price of the {s} in coins?",
        ),
        ("What costs {o} coins?", "What can you buy for {o} coins?"),
        ("does the {s} cost {o} coins", "is the price of the {s} {o} coins"),
        "Price",
    ),
)  # fmt: skip
TOPIC_OF = {topic.relation.name: topic for topic in TOPICS}

UNKNOWN = (
    "it is impossible to say",
    "it is not possible to tell",
    "nobody knows",
    "we do not know",
    "maybe",
    "unknown",
)
"""Answers to what a text leaves open."""

SINGLE_VALUED = (
    "home",
    "job",
    "car",
    "country",
    "material",
    "born",
    "visit",
    "kept",
    "color",
    "owner",
    "price",
)
"""The relations that have one value: a person may like two foods, but has one home."""
