"""Practice rows of the summarization tasks: small news, mails, chats and guides of the world."""

from flan_jax.tasks import practice_words
from flan_jax.tasks.practice_world import draw_among, sentence, split_knowledge
from tasks.practice import everyday

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _value(world, subject, relation):
    return next(
        fact.value for fact in world.about(subject) if fact.relation.name == relation
    )


def _words(world, rng):
    """Returns names and things for the slots of a pattern; what they say is true in the world."""
    s, o = rng.sample(world.people, 2)
    home = _value(world, s, "home")
    town, town2 = rng.sample([t for t in world.towns if t != home], 2)
    country, product = _value(world, town, "country"), _value(world, town, "product")
    place = draw_among(world.places_in_town, practice_words.MEETING_PLACES, rng)
    other_places = [p for p in practice_words.MEETING_PLACES if p != place]
    place2 = draw_among(world.places_in_town, other_places, rng)
    food, food2 = rng.sample(world.foods, 2)
    portable = [t for t in world.things if t in practice_words.PORTABLE_THINGS]
    thing, pet = rng.choice(portable or world.things), _value(world, s, "pet")
    return {
        "s": s,
        "o": o,
        "home": home,
        "job": _value(world, s, "job"),
        "pet": pet,
        "Pet": pet.capitalize(),
        "town": town,
        "town2": town2,
        "country": country,
        "abroad": rng.choice([c for c in world.countries if c != country]),
        "product": product,
        "Product": product.capitalize(),
        "place": place,
        "place2": place2,
        "food": food,
        "food2": food2,
        "dish": draw_among(world.foods, practice_words.DISHES, rng),
        "animal": draw_among(world.pets, practice_words.LAND_PETS, rng),
        "thing": thing,
        "Thing": thing.capitalize(),
        "material": _value(world, thing, "material"),
        "color": rng.choice(world.colors),
        "day": rng.choice(_DAYS),
    }


def _say(world, rng, subject, *relations):
    """The subject's facts of these relations, each in a random wording."""
    facts = {fact.relation.name: fact for fact in world.about(subject)}
    return [facts[relation].say(rng.randrange(3)) for relation in relations]


_MAILS = (
    (
        "Can we meet in the {place} on {day} to talk about the {product} from {town}?",
        "Meeting about {product}",
    ),
    (
        "The {thing} that you asked for is ready. Please come to the {place} on {day} to get it.",
        "Your {thing} is ready",
    ),
    (
        "I would like to buy your {thing}. How much do you want for it?",
        "Price of your {thing}",
    ),
    (
        "We are having {dish} for dinner on {day} and would like you to come.",
        "Dinner on {day}",
    ),
    (
        "My {thing} is gone. If you see it near the {place}, please call me.",
        "Lost {thing}",
    ),
    (
        "The train from {town} is late, so I will not be in the {place} before noon on {day}.",
        "Late on {day}",
    ),
    (
        "Please send some {product} to the {place} in {town2}. They need it by {day}.",
        "{Product} for {town2}",
    ),
    (
        "We have run out of {food}. Could you bring some to the {place}?",
        "More {food} needed",
    ),
    (
        "A parcel from {town} has come for you. It is in the {place}.",
        "Parcel from {town}",
    ),
)
_SMALL_TALK = (
    "I hope that all is well in {home}.",
    "How is your {pet}?",
    "I have had a long week.",
    "It was good to see you in {town2}.",
    "Give my best to {o}.",
)
_SIGN_OFFS = ("Thanks,\n", "Best wishes,\n", "See you soon,\n", "")


def aeslc(world, rng):
    words = _words(world, rng)
    sender = rng.choice(
        [name for name in world.people if name not in (words["s"], words["o"])]
    )
    text, subject = rng.choice(_MAILS)
    sentences = rng.sample(_SMALL_TALK, rng.randrange(1, 3))
    sentences.insert(rng.randrange(len(sentences) + 1), text)
    body = " ".join(sentences).format(**words)
    return {
        "email_body": f"{words['s']},\n{body}\n{rng.choice(_SIGN_OFFS)}{sender}\n",
        "subject_line": subject.format(**words) + "\n",
    }


_DATELINES = (
    "(CNN) -- ",
    "(CNN)",
    "{TOWN}, {country} (CNN) -- ",
    "{TOWN}, {country} -- ",
    "{town}, {country} (CNN)",
    "By. {o} Reporter. PUBLISHED:. 06:29 EST, 3 May 2013. |. UPDATED:. 08:46 EST, 3 May 2013. ",
    "",
)
_ASIDES = (
    '"I would not change a thing," {s} told us.',
    "The neighbors had nothing to add.",
    "It rained on the day of our visit.",
    '"Ask {o} about the rest," said {s} with a smile.',
    "We met in the {place} on a {day}.",
)


def cnn_dailymail(world, rng):
    words = _words(world, rng)
    facts = rng.sample(world.about(words["s"]), 3)
    sentences = [fact.say(rng.randrange(3)) for fact in facts]
    for aside in rng.sample(_ASIDES, rng.randrange(1, 3)):
        sentences.insert(rng.randrange(1, len(sentences) + 1), aside.format(**words))
    dateline = rng.choice(_DATELINES).format(TOWN=words["town"].upper(), **words)
    return {
        "article": dateline + " ".join(sentences),
        "highlights": "\n".join(fact.say() for fact in facts),
        "publisher": "dm" if "PUBLISHED" in dateline else "cnn",
        "id": "",
    }


_LEADS = (
    (
        (
            "the town of {town} will sell more {product} to {abroad} next year , officials said "
            "{day} ."
        ),
        "{town} to sell more {product} to {abroad}",
    ),
    (
        (
            "a {job} from {town} won a prize for the best {food} in {country} on {day} , a local "
            "newspaper reported ."
        ),
        "{town} {job} wins prize for best {food}",
    ),
    (
        (
            "police in {town} on {day} found a stolen {thing} made of {material} , which had been "
            "hidden near the {place} ."
        ),
        "stolen {thing} found in {town}",
    ),
    (
        (
            "{country} and {abroad} agreed {day} to end their long dispute over the price of "
            "{product} ."
        ),
        "{country} , {abroad} end {product} dispute",
    ),
    (
        (
            "a fire broke out near the {place} of {town} late {day} and destroyed a store of "
            "{product} , officials said ."
        ),
        "fire destroys {product} in {town}",
    ),
    (
        (
            "the mayor of {town} opened a new {place} on {day} and promised another one within a "
            "year ."
        ),
        "{town} mayor opens new {place}",
    ),
    (
        (
            "heavy rain stopped all trains between {town} and {town2} on {day} , leaving travelers "
            "to wait in the {place} ."
        ),
        "rain stops trains between {town} and {town2}",
    ),
    (
        (
            "the price of {product} rose sharply in {country} on {day} after a bad year in "
            "{town} , "
            "traders said ."
        ),
        "{product} price rises in {country}",
    ),
)


def gigaword(world, rng):
    words = {slot: word.lower() for slot, word in _words(world, rng).items()}
    document, summary = rng.choice(_LEADS)
    return {"document": document.format(**words), "summary": summary.format(**words)}


_REPORT_OPENERS = (
    "",
    "Our paper has been to see {s}.",
    "Our readers have asked about {s}.",
    "This is what we know of {s}.",
)


def multi_news(world, rng):
    words = _words(world, rng)
    known = [*world.about(words["s"]), *world.about(words["home"])]
    facts = rng.sample(known, 4)
    reports = (
        [facts[:2], facts[2:3], facts[3:]]
        if rng.random() < 0.3
        else [facts[:2], facts[2:]]
    )
    # a later report repeats the first one's news in other words; the summary says it once
    reports[-1] = rng.sample([*reports[-1], facts[0]], len(reports[-1]) + 1)
    openers = rng.sample(_REPORT_OPENERS, len(reports))
    texts = [
        " ".join(
            [opener.format(**words), *(fact.say(rng.randrange(3)) for fact in report)]
        ).strip()
        for opener, report in zip(openers, reports, strict=True)
    ]
    return {
        "document": " ||||| ".join(texts),
        "summary": f"– {' '.join(fact.say() for fact in facts)}",
    }


_STORIES = (
    (
        "A new {place} for {home}",
        (
            "The ribbon at the new {place} has been cut. It was {s} who welcomed the people of "
            "{home} there on {day}."
        ),
        "{s}, a {job}, has opened a new {place} in {home}.",
    ),
    (
        "{s} and the lost {thing}",
        "A {thing} had been missing for a week. On {day} {s} found it near the {place}.",
        "{s}, a {job}, has found a lost {thing} near the {place}.",
    ),
    (
        "Prize for {food} from {home}",
        "There was great joy in {home} on {day}. The prize for the best {food} went to {s}.",
        "{s}, a {job}, has won a prize for the best {food}.",
    ),
    (
        "{s} says goodbye to {home}",
        "After ten years in {home}, {s} has bought a house in {town}. {day} is moving day.",
        "{s}, a {job}, is moving from {home} to {town}.",
    ),
    (
        "Where the {product} goes",
        (
            "Every {day} a truck full of {product} leaves {town}. At the wheel is {s}, who will "
            "have "
            "it no other way."
        ),
        "{s}, a {job}, drives a truck full of {product} out of {town} every {day}.",
    ),
)


def newsroom(world, rng):
    words = _words(world, rng)
    title, text, summary = (part.format(**words) for part in rng.choice(_STORIES))
    background = [
        *_say(world, rng, words["s"], "job", "home"),
        *_say(world, rng, words["home"], "product"),
    ]
    return {
        "text": f"{text}\n\n{' '.join(rng.sample(background, 3))}",
        "summary": summary,
        "title": title,
        "url": "http://news.example/practice.html",
        "date": "20160102030405",
        "density_bin": "abstractive",
        "coverage_bin": "medium",
        "compression_bin": "low",
        "density": 1.5,
        "coverage": 0.75,
        "compression": 4.0,
    }


_ASPECTS = ("acting", "music", "humor", "dialogue", "scenery", "camera work")
_OPINION_WORDS = split_knowledge(everyday.OPINION_WORDS)
_REVIEWS = (
    "The {aspect} of {movie} is {word}.",
    "I found the {aspect} {word}.",
    "What {word} {aspect}!",
    "{movie} has {word} {aspect}.",
    "There is much {word} {aspect} in it.",
)
_NEUTRAL_REVIEWS = (
    "I went to see {movie} with {o}.",
    "{movie} is on in {town2} too.",
    "{movie} is about a {job} and a {pet}.",
)


def opinion_abstracts_rotten_tomatoes(world, rng, split):
    words = _words(world, rng)
    movie = rng.choice(
        ("The {color} {thing}", "{s} and the {pet}", "A {job} in {town}")
    ).format(**words)
    movie = " ".join(
        word if word in ("and", "the", "in") else sentence(word)
        for word in movie.split()
    )
    opinions = _OPINION_WORDS[split]
    first, second = rng.sample(_ASPECTS, 2)
    good = {first: rng.random() < 0.6, second: rng.random() < 0.4}
    reviews = [
        rng.choice(_REVIEWS).format(
            movie=movie,
            aspect=aspect,
            word=rng.choice(opinions["praise" if good[aspect] else "blame"]),
        )
        for aspect in (first, second)
        for _ in range(rng.choice((1, 2, 2)))
    ]
    reviews.append(rng.choice(_NEUTRAL_REVIEWS).format(movie=movie, **words))
    if good[first] == good[second]:
        kind, end = (
            ("fine", "worth seeing") if good[first] else ("poor", "better missed")
        )
        one, other = sorted((first, second))
        consensus = f"With {kind} {one} and {kind} {other}, {movie} is {end}."
    else:
        strong, weak = (first, second) if good[first] else (second, first)
        consensus = f"{movie} has fine {strong}, but poor {weak} lets it down."
    reviews = list(dict.fromkeys(rng.sample(reviews, len(reviews))))
    return {
        "_movie_name": movie,
        "_movie_id": "",
        "_critic_consensus": consensus,
        "_critics": {
            "key": [str(n) for n in range(1, len(reviews) + 1)],
            "value": reviews,
        },
    }


_DEBATES = (
    # the first argument of each claim is always shown: it names all that the claim does
    (
        "A new {place} would bring work to {town}.",
        (
            "Builders from {town} would be needed for the {place}.",
            "People like {s} could earn a living in the {place}.",
            "Shops near the {place} would need more hands.",
            "Those who now look for a job in {town2} could stay.",
        ),
    ),
    (
        "{town} cannot pay for a new {place}.",
        (
            "A {place} costs more money than {town} has left.",
            "There would be repairs to do every year.",
            "Taxes would have to go up for everybody, even for {s}.",
            "When {town2} built one, it was in debt for ten years.",
        ),
    ),
    (
        "A new {place} would bring people in {town} together.",
        (
            "Neighbors in {town} could meet in the {place}.",
            "{s} and {o} would see each other there every {day}.",
            "Today families have nowhere to go.",
            "Those who are new in {town} would soon make friends.",
        ),
    ),
    (
        "A new {place} would make {town} noisy.",
        (
            "Cars would drive through {town} to the {place} all day.",
            "{s} could no longer sleep at noon.",
            "The quiet streets are what people like about {town}.",
            "In {town2} you can hear the {place} from a mile away.",
        ),
    ),
    (
        "A new {place} would help {town} to sell its {product}.",
        (
            "Visitors to the {place} would take home some {product} from {town}.",
            "Today the {product} is famous, but hard to find.",
            "Those who make {product} have no place to show it.",
            "Since {town2} has one, it has sold twice as much.",
        ),
    ),
    (
        "{town} has no need of a new {place}.",
        (
            "The old {place} in {town} is in good order.",
            "Hardly anybody goes to the {place} as it is.",
            "{s} and {o} have never asked for one.",
            "There is a good one in {town2}, which is not far.",
        ),
    ),
)


def opinion_abstracts_idebate(world, rng):
    words = _words(world, rng)
    claim, (needed, *others) = rng.choice(_DEBATES)
    arguments = [
        text.format(**words)
        for text in (needed, *rng.sample(others, rng.randrange(1, 4)))
    ]
    return {
        "_debate_name": "This house would build a new {place} in {town}".format(
            **words
        ),
        "_claim_id": "",
        "_claim": claim.format(**words),
        "_argument_sentences": {
            "key": [str(n) for n in range(1, len(arguments) + 1)],
            "value": rng.sample(arguments, len(arguments)),
        },
    }


_CHATS = (
    (
        (
            "{s}: Are you free on {day}?\n{o}: I think so. Why?\n{s}: Let's meet in the {place}!\n"
            "{o}: OK, see you there"
        ),
        "{s} and {o} will meet in the {place} on {day}.",
    ),
    (
        (
            "{s}: Shall we meet in the {place} on {day}?\n{o}: I'd rather go to the {place2}\n{s}: "
            "Fine with me"
        ),
        "{s} and {o} will meet in the {place2} on {day}.",
    ),
    (
        (
            "{s}: Can I borrow your {thing}?\n{o}: Why?\n{s}: Mine is broken <file_photo>\n{o}: "
            "OK, "
            "keep it until {day}"
        ),
        "{o} will lend {s} a {thing} until {day}.",
    ),
    (
        (
            "{s}: Look! <file_photo>\n{o}: Is that a new {thing}?\n{s}: Yes! I bought it in "
            "{town}\n"
            "{o}: Looks great!"
        ),
        "{s} has bought a new {thing} in {town}.",
    ),
    (
        (
            "{s}: What shall we eat tonight?\n{o}: How about {food}?\n{s}: Again?\n{o}: Then let's "
            "have {food2}!\n{s}: Good"
        ),
        "{s} and {o} will eat {food2} tonight.",
    ),
    (
        (
            "{o}: Will you come to my party on {day}?\n{s}: I can't. As a {job} I have to work :(\n"
            "{o}: What a pity!"
        ),
        "{s} has to work and cannot come to {o}'s party on {day}.",
    ),
    (
        (
            "{s}: My {animal} has run away!\n{o}: I saw it near the {place} just now\n{s}: Thank "
            "you!! "
            "I'm on my way <file_gif>"
        ),
        "{o} saw {s}'s {animal} near the {place}.",
    ),
    (
        (
            "{s}: When does your train get in?\n{o}: On {day} at {hour}\n{s}: I'll wait for you at "
            "the station"
        ),
        "{s} will meet {o} at the station on {day} at {hour}.",
    ),
)
_GREETINGS = (
    "{s}: Hi {o}!\n{o}: Hello {s}",
    "{o}: hey, how are you?\n{s}: good, thanks",
    "{s}: {o}?\n{o}: Yes?",
    "{o}: Good morning <file_gif>",
    "",
)


def samsum(world, rng):
    words = _words(world, rng) | {
        "hour": rng.choice(("two", "three", "four", "five", "six", "seven"))
    }
    dialogue, summary = rng.choice(_CHATS)
    lines = f"{rng.choice(_GREETINGS)}\n{dialogue}".strip().format(**words)
    return {
        "dialogue": lines.replace("\n", "\r\n"),
        "summary": summary.format(**words),
        "id": "",
    }


_EVENTS = (
    (
        (
            "Something lay in the grass near the {place} on {day}, and {s} went to look. It was a "
            "{thing} made of {material}."
        ),
        "{o} had been looking for it for a week.",
        "A {job} from {home} has found a lost {thing} near the {place}.",
    ),
    (
        (
            "On {day} {s} put the last piece in its place. No {thing} in {country} has ever been "
            "bigger."
        ),
        "People come from {town} to see it.",
        "A {job} from {home} has made a giant {thing}.",
    ),
    (
        (
            "{s} got up early on {day} and set out for {town} on foot. It took nine hours to get "
            "there."
        ),
        "The money that was given along the way will pay for a {place}.",
        "A {job} from {home} has walked to {town} to raise money for a {place}.",
    ),
    (
        (
            "The judges in {town} tried {dish} from ten kitchens on {day}. They liked what {s} had "
            "made best."
        ),
        "{o} came second.",
        "A {job} from {home} has won a cooking contest in {town}.",
    ),
    (
        (
            "The door was open when {s} came back from the {place} on {day}. The {thing} was no "
            "longer there."
        ),
        "{o} saw a stranger run away with it.",
        "A {thing} has been stolen from a {job} in {home}.",
    ),
)


def xsum(world, rng):
    words = _words(world, rng)
    start, end, summary = (part.format(**words) for part in rng.choice(_EVENTS))
    facts = rng.sample(_say(world, rng, words["s"], "job", "home"), 2)
    document = [start, *facts, end] if rng.random() < 0.5 else [start, end, *facts]
    return {"document": "\n".join(document), "summary": summary}


_NEWS = (
    (
        (
            "{country} and {abroad} Sign Treaty",
            "The leaders of both countries met in {town} on {day} to end the war.",
        ),
        (
            "{country} Votes on {day}",
            "A new government is to be elected. Long lines are expected in {town}.",
        ),
        (
            "Storm Hits {town}",
            "Hundreds have fled from the flood in {country}, and {abroad} is sending help.",
        ),
        (
            "Thousands March in {town}",
            "They ask the president of {country} to step down by {day}.",
        ),
    ),
    (
        ("{town} Beats {town2}", "Two late goals by {s} decided the match on {day}."),
        (
            "{s} to Meet {o} in Final",
            "The best two tennis players of {country} will play in {town} on {day}.",
        ),
        (
            "{town} Looks for a Coach",
            "After the team's fifth defeat, against {town2}, the fans have had enough.",
        ),
        (
            "Record for {s}",
            "No runner in {country} has ever been faster than the winner of the race on {day}.",
        ),
    ),
    (
        (
            "Price of {Product} Rises",
            "Traders in {abroad} paid more on {day} as {town} had less to sell.",
        ),
        (
            "{Product} Firm to Cut Jobs",
            "The company from {town} has lost money and will close a factory in {town2}.",
        ),
        (
            "Banks of {town} and {town2} Merge",
            "Shares in both rose on {day} when the deal was made known.",
        ),
        (
            "{country} Sells More {Product}",
            "Exports to {abroad} grew by a tenth, and profits grew with them.",
        ),
    ),
    (
        (
            "New Planet Seen from {town}",
            "Astronomers of {country} found it on {day} with a bigger telescope.",
        ),
        (
            "A Robot to Feed Your {Pet}",
            "Engineers in {town} showed how the machine works on {day}.",
        ),
        (
            "How a {Pet} Thinks",
            "Researchers from {country} have measured its brain and found a surprise.",
        ),
        (
            "{town} Tests Faster Internet",
            "The new network moves data between {town} and {town2} in no time.",
        ),
    ),
)
"""Titles and texts of each topic, in the order of the labels."""


def ag_news_subset(world, rng):
    words = _words(world, rng)
    label = rng.randrange(4)
    title, description = rng.choice(_NEWS[label])
    return {
        "label": label,
        "title": title.format(**words),
        "description": description.format(**words),
    }


_GUIDES = (
    (
        (
            "Clean the {thing}.",
            "Dirt on the {thing} has to come off first. Use a wet cloth.",
            "Nobody likes a dirty {thing}, so wash it well.",
        ),
        (
            "Dry it in the {place}.",
            "Next, leave it in the {place} until there is no water on it.",
            "The best spot to get it dry is the {place}.",
        ),
        (
            "Paint it {color}.",
            "You will need a brush and some {color} paint. Put on two coats.",
            "Two coats of {color} paint will make it look new.",
        ),
        (
            "Show it to {s}.",
            "It helps to hear what somebody else thinks, and {s} has a good eye.",
            "Let {s} have a look at it, and listen well.",
        ),
        (
            "Sell it in {town}.",
            "In the end, take it to {town}, where the buyers are.",
            "You will get the most money for it in {town}.",
        ),
    ),
    (
        (
            "Buy {dish} in {town}.",
            "The shops of {town} have the best {dish}, so start there.",
            "Go to {town} if you want good {dish}.",
        ),
        (
            "Heat up the kitchen stove.",
            "The stove in the kitchen should be hot by now, so light it in good time.",
            "Nothing gets done on a cold stove. Light the one in the kitchen early.",
        ),
        (
            "Add some salt.",
            "Food without salt tastes of nothing, so put some in.",
            "A little salt makes all the difference.",
        ),
        (
            "Put it in a {color} bowl.",
            "It looks good in a bowl, and a {color} one is best.",
            "Choose a {color} bowl to serve it in.",
        ),
        (
            "Invite {s}.",
            "It is nice to eat in company. Ask {s} to come.",
            "Do not eat alone when you could send for {s}.",
        ),
    ),
    (
        (
            "Give the {animal} some {food}.",
            "A hungry {animal} will not listen to you. Offer it {food}.",
            "With some {food} you can win the heart of any {animal}.",
        ),
        (
            "Speak in a low voice.",
            "Loud words make it run away, so keep your voice down.",
            "It has good ears. There is no need to shout.",
        ),
        (
            "Brush its coat on {day}.",
            "Once a week, and {day} is a good day, get the brush out.",
            "Its coat needs a brush every {day}.",
        ),
        (
            "Go for a walk in the {place}.",
            "Fresh air does it good. The {place} is just right for a walk.",
            "It wants to get out of the house. Take it to the {place}.",
        ),
        (
            "Ask {s} for advice.",
            "If you do not know what to do, {s} does.",
            "Not all is easy at first. Turn to {s} for help.",
        ),
    ),
)
"""Guides: their steps in order, each as a bare instruction and then in two fuller wordings."""


def wiki_lingua_english_en(world, rng):
    open_places = practice_words.OPEN_PLACES
    paintable = practice_words.PAINTABLE_THINGS
    words = _words(world, rng) | {
        "place": draw_among(world.places_in_town, open_places, rng),
        "thing": draw_among(world.things, paintable, rng),
    }
    guide = rng.choice(_GUIDES)
    # the first step names what the guide is about
    steps = [
        guide[0],
        *(guide[n] for n in sorted(rng.sample(range(1, 5), rng.randrange(1, 4)))),
    ]
    source = " ".join(rng.choice(step[1:]) for step in steps).format(**words)
    target = " ".join(step[0] for step in steps).format(**words)
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "source": source,
        "target": target,
        "source_aligned": {"en": source},
        "target_aligned": {"en": target},
        "references": [],
    }
