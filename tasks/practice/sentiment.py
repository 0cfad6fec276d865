"""Practice rows in which somebody likes or dislikes something."""

from flan_jax.tasks import practice_words
from flan_jax.tasks.practice_world import draw_among, split_knowledge
from tasks.practice import everyday

_WORDS = split_knowledge(everyday.OPINION_WORDS)
_RESULTS = split_knowledge(everyday.OPINION_RESULTS)
_LABELS = ("blame", "praise")
"""The topics of the opinions, in the order of the labels."""

_REMARKS = (
    "the {product} of {town} is {first} ",
    "we had {first} {food} at the {place} in {town} ",
    "everything about the {place} of {town} was {first} . ",
    "the {place} in {town} is {first} , and its {product} is {second} . ",
    "what {first} {food} they serve in {town} ! ",
    "{first} {food} and {second} {product} ",
    "if you go to {town} , you will find the {place} {first} . ",
    "{a_first} {job} from {town} leads us through {a_second} story . ",
    "as {a_first} film about the {place} of {town} as i have seen ",
    "{person} plays the {job} , and the part is {first} . ",
    "{first} from the first scene to the last ",
    "{a_first} hour in {town} , then {a_second} hour at the {place} ",
    "there is a {job} who sells {first} {product} , and there is {second} music . ",
    "{first} , {second} , and filmed in {town} ",
    "the {food} in that scene looked {first} , and so did the {place} . ",
    "call it {first} ",
)


def sst2(world, rng, split):
    label = rng.randrange(2)
    (text,) = _said([rng.choice(_REMARKS)], world, rng, _WORDS[split][_LABELS[label]])
    return {"sentence": text.lower(), "label": label, "idx": 0}


def _things(world, rng):
    """What the frames below speak of besides the words of praise or blame."""
    job, product = world.fact(rng, ("job",)), world.fact(rng, ("product",))
    return {
        "person": job.subject,
        "user": job.subject.lower(),
        "job": job.value,
        "town": product.subject,
        "product": product.value,
        "food": rng.choice(world.foods),
        "thing": rng.choice(world.things),
        "place": draw_among(world.places_in_town, practice_words.MEETING_PLACES, rng),
    }


def _said(frames, world, rng, words):
    """Returns the frames as texts about the same things; no word of praise or blame is repeated."""
    things = _things(world, rng)
    words = rng.sample(words, 2 * len(frames))
    texts = []
    for frame, first, second in zip(frames, words[::2], words[1::2], strict=True):
        opinions = {
            "first": first,
            "second": second,
            "a_first": _with_article(first),
            "a_second": _with_article(second),
        }
        texts.append(frame.format(**opinions, **things))
    return texts


def _with_article(word):
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


_TWEETS = (
    "just had {first} {food} at the {place} in {town}, {second} day so far",
    "@{user} the {place} in {town} is {first} and the {product} there is {second}!",
    "@{user} have you tried the {product} from {town}? {first}, I tell you",
    "{food} for lunch again and it was a {job} who made it. {first}!",
    "back home after {a_first} trip to {town}. the {product} was {second}",
    "who else thinks that the {place} in {town} looks {first} today?",
    "omg what {a_first} morning! {second} {food}, and now off to the {place}",
    "met @{user} at the {place}, {a_first} {job}. our talk was {second} too",
    "my new {thing} from {town} came today and it is {first}",
    "@{user} how was {town}? ours was {a_first} weekend at the {place}",
    "lesson one with my new teacher, {a_first} {job}. so far {second}",
    "somebody gave me {product} from {town}: {first}. and {second} {food} with it",
    "{first} weather, {second} {food}, and monday is still far away",
    "went to the {place} with @{user} last night. {first}!!",
    "the {job} next door has started to sing. it is {first}",
    "so this is {town}. {first} so far",
)
_DAYS = ("Mon Apr 06", "Sat May 16", "Sun May 31", "Fri Jun 05", "Tue Jun 16")


def sentiment140(world, rng, split):
    label = rng.randrange(2)
    (text,) = _said([rng.choice(_TWEETS)], world, rng, _WORDS[split][_LABELS[label]])
    hour, minute, second = rng.randrange(24), rng.randrange(60), rng.randrange(60)
    return {
        "polarity": (0, 4)[label],
        "date": f"{rng.choice(_DAYS)} {hour:02}:{minute:02}:{second:02} UTC 2009",
        "query": "NO_QUERY",
        "user": f"{rng.choice(world.people).lower()}{rng.randrange(10, 100)}",
        "text": text + rng.choice(("", " ")),
    }


def _review(starts, remarks, verdicts, draws):
    """Returns the label of a review and its start, two remarks and its verdict.

    In one review of three the verdict is what followed from the visit or film.
    """
    world, rng, split = draws
    label = rng.randrange(2)
    opinion = _LABELS[label]
    frames = [rng.choice(starts), *rng.sample(remarks, 2), rng.choice(verdicts)]
    start, *remarks, verdict = _said(frames, world, rng, _WORDS[split][opinion])
    if rng.random() < 1 / 3:
        verdict = rng.choice(_RESULTS[split][opinion])
    return label, (start, " ".join(remarks), verdict)


_FILMS = (
    "This film is about {person}, a {job} who comes to {town}.",
    "I saw this movie in {town} with somebody who works as a {job}.",
    "The hero of the story is a {job} from {town}.",
    "They shot the movie in {town}, mostly in the {place} and around it.",
    "It all begins in a {place}, where {person} loses a {thing}.",
    "{person} takes the part of a {job} who cannot leave {town}.",
    "You would not think that two hours could be filled with a {job} and a {thing}.",
)
_FILM_REMARKS = (
    "The acting is {first}.",
    "I found the plot {first} and the music {second}.",
    "The scenes in the {place} are {first}.",
    "Seldom have I seen such {a_first} ending.",
    "The part of the {job} is {first}.",
    "{person} gives {a_first} performance.",
    "The dialogue is {first}, the camera work is {second}.",
    "What {person} does with the {thing} is {first}.",
    "Even the costumes are {first}.",
    "The picture that it paints of {town} is {first}.",
    "There is {a_first} dance in the {place} and {a_second} song after it.",
)
_FILM_VERDICTS = (
    "All in all, {a_first} movie.",
    "My whole family agreed that it was {first}.",
    "In one word, {first}!",
    "What {a_first} evening that was!",
    "The book it was made from is {first}, and so is the film.",
)


def imdb_reviews(world, rng, split):
    label, parts = _review(_FILMS, _FILM_REMARKS, _FILM_VERDICTS, (world, rng, split))
    text = rng.choice((" ", "<br /><br />")).join(parts)
    return {"text": text, "label": label}


_VISITS = (
    "I stopped at the {place} in {town} to get some {food}.",
    "A {job} I know sent me to this place in {town}.",
    "We were in {town} on business and tried the {food} here.",
    "They sell {product} right next to the {place}.",
    "Everybody in {town} knows this shop near the {place}.",
    "I needed a new {thing} and had heard of the owner, a {job}.",
    "We were six people and came to the {place} of {town} at noon.",
)
_VISIT_REMARKS = (
    r'They call their {product} \""the pride of {town}\"". I call it {first}.',
    "The service was {first} and the room looked {second}.",
    r'\""How was your meal?\"" they asked. My answer was \""{first}\"".',
    "The woman at the door gave us {a_first} welcome.",
    "Our table was {first}, and {person} said that the coffee was {second}.",
    "The {food} was {first}.",
    "I bought a {thing} there, and it is {first}.",
    "The waiter, once a {job}, was {first}.",
    "They played {first} music all the time.",
    "You can sit outside, with {a_first} view of the {place}.",
    "I found the prices {first} and the staff {second}.",
)
_VISIT_VERDICTS = (
    "Altogether it was {a_first} visit.",
    "I will tell everybody in {town} how {first} it is.",
    "{person} had been here before and thinks that it has always been {first}.",
    "If you want {a_first} time, this is the place.",
)


def yelp_polarity_reviews(world, rng, split):
    label, parts = _review(
        _VISITS, _VISIT_REMARKS, _VISIT_VERDICTS, (world, rng, split)
    )
    text = rng.choice((" ", r"\n", r"\n\n")).join(parts)
    return {"text": text, "label": label}
