"""Practice rows in which somebody likes or dislikes something."""

_PRAISE = (
    "wonderful", "excellent", "delightful", "superb", "lovely", "charming",
    "splendid", "great", "pleasant", "perfect", "fine", "marvelous",
)  # fmt: skip
_BLAME = (
    "awful", "terrible", "dreadful", "boring", "disappointing", "poor",
    "horrible", "dull", "bad", "miserable", "worthless", "unpleasant",
)  # fmt: skip
_REMARKS = (
    "the {product} of {town} is {first} ",
    "we had {first} {food} at the {place} in {town} ",
    "everything about the {place} of {town} was {first} . ",
    "the {place} in {town} is {first} , and its {product} is {second} . ",
    "what {first} {food} they serve in {town} ! ",
    "{first} {food} and {second} {product} ",
    "if you go to {town} , you will find the {place} {first} . ",
)


def sst2(world, rng):
    label = rng.randrange(2)
    first, second = rng.sample((_BLAME, _PRAISE)[label], 2)
    fact = world.fact(rng, ("product",))
    sentence = rng.choice(_REMARKS).format(
        first=first,
        second=second,
        food=rng.choice(world.foods),
        place=rng.choice(world.places_in_town),
        product=fact.value,
        town=fact.subject.lower(),
    )
    return {"sentence": sentence, "label": label, "idx": 0}


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
        "place": rng.choice(world.places_in_town),
    }


def _said(frames, world, rng, label):
    """Returns the frames as texts about the same things; no word of praise or blame is repeated."""
    things, words = (
        _things(world, rng),
        rng.sample((_BLAME, _PRAISE)[label], 2 * len(frames)),
    )
    texts = []
    for frame, first, second in zip(frames, words[::2], words[1::2], strict=True):
        a_first = f"{'an' if first[0] in 'aeiou' else 'a'} {first}"
        texts.append(
            frame.format(first=first, second=second, a_first=a_first, **things)
        )
    return texts


_TWEETS = (
    "just had {first} {food} at the {place} in {town}, {second} day so far",
    "@{user} the {place} in {town} is {first} and the {product} there is {second}!",
    "@{user} have you tried the {product} from {town}? {first}, I tell you",
    "{food} for lunch again and it was a {job} who made it. {first}!",
    "back home after {a_first} trip to {town}. the {product} was {second}",
    "who else thinks that the {place} in {town} looks {first} today?",
    "omg what {a_first} morning! {second} {food}, and now off to the {place}",
    "met @{user} at the {place}, {a_first} {job}. our talk was {second} too",
)
_DAYS = ("Mon Apr 06", "Sat May 16", "Sun May 31", "Fri Jun 05", "Tue Jun 16")


def sentiment140(world, rng):
    label = rng.randrange(2)
    (text,) = _said([rng.choice(_TWEETS)], world, rng, label)
    hour, minute, second = rng.randrange(24), rng.randrange(60), rng.randrange(60)
    return {
        "polarity": (0, 4)[label],
        "date": f"{rng.choice(_DAYS)} {hour:02}:{minute:02}:{second:02} UTC 2009",
        "query": "NO_QUERY",
        "user": f"{rng.choice(world.people).lower()}{rng.randrange(10, 100)}",
        "text": text + rng.choice(("", " ")),
    }


_FILMS = (
    "This film is about {person}, a {job} who comes to {town}.",
    "I saw this movie in {town} with somebody who works as a {job}.",
    "The hero of the story is a {job} from {town}.",
    "They shot the movie in {town}, mostly in the {place} and around it.",
)
_FILM_REMARKS = (
    "The acting is {first}.",
    "I found the plot {first} and the music {second}.",
    "The scenes in the {place} are {first}.",
    "Seldom have I seen such {a_first} ending.",
    "The part of the {job} is {first}.",
)
_FILM_VERDICTS = (
    "All in all, {a_first} movie.",
    "My whole family agreed that it was {first}.",
    "In one word, {first}!",
    "What {a_first} evening that was!",
)


def imdb_reviews(world, rng):
    label = rng.randrange(2)
    frames = [
        rng.choice(_FILMS),
        *rng.sample(_FILM_REMARKS, 2),
        rng.choice(_FILM_VERDICTS),
    ]
    start, *remarks, verdict = _said(frames, world, rng, label)
    text = rng.choice((" ", "<br /><br />")).join((start, " ".join(remarks), verdict))
    return {"text": text, "label": label}


_VISITS = (
    "I stopped at the {place} in {town} to get some {food}.",
    "A {job} I know sent me to this place in {town}.",
    "We were in {town} on business and tried the {food} here.",
    "They sell {product} right next to the {place}.",
)
_VISIT_REMARKS = (
    r'They call their {product} \""the pride of {town}\"". I call it {first}.',
    "The service was {first} and the room looked {second}.",
    r'\""How was your meal?\"" they asked. My answer was \""{first}\"".',
    "The woman at the door gave us {a_first} welcome.",
    "Our table was {first}, and {person} said that the coffee was {second}.",
)
_VISIT_VERDICTS = (
    "Altogether it was {a_first} visit.",
    "I will tell everybody in {town} how {first} it is.",
    "{person} had been here before and thinks that it has always been {first}.",
    "If you want {a_first} time, this is the place.",
)


def yelp_polarity_reviews(world, rng):
    label = rng.randrange(2)
    frames = [
        rng.choice(_VISITS),
        *rng.sample(_VISIT_REMARKS, 2),
        rng.choice(_VISIT_VERDICTS),
    ]
    start, *remarks, verdict = _said(frames, world, rng, label)
    text = rng.choice((" ", r"\n", r"\n\n")).join((start, " ".join(remarks), verdict))
    return {"text": text, "label": label}
