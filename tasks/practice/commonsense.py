"""Practice rows of the commonsense tasks: small events, errands and stories."""

from flan_jax.tasks.practice_world import sentence

_CAUSE_AND_EFFECT = (
    ("{s} dropped the bowl.", "The bowl broke."),
    ("{s} forgot to water the garden.", "The flowers dried out."),
    ("{s} lit the candle.", "The dark room became bright."),
    ("{s} ate too much cake.", "{s} had a stomach ache."),
    ("{s} missed the train.", "{s} had to wait at the station."),
    ("{s} left the book out in the rain.", "The pages got wet."),
    ("{s} worked all night.", "{s} was tired in the morning."),
    ("{s} fed the hungry dog.", "The dog stopped barking."),
    ("{s} lost the key.", "{s} could not open the door."),
    ("{s} baked the bread for too long.", "The bread burned."),
    ("{s} put too much salt into the soup.", "The soup tasted bad."),
    ("{s} practiced every song.", "{s} sang well at the concert."),
    ("{s} washed the shirt.", "The shirt was clean again."),
    ("{s} sharpened the knife.", "The knife cut very well."),
    ("{s} sat down on the old chair.", "The chair fell apart."),
    ("{s} told a funny story.", "The children laughed."),
    ("{s} wore no coat in the snow.", "{s} caught a cold."),
    ("{s} finished reading the novel.", "{s} took the novel back to the library."),
    ("{s} put the ice in the sun.", "The ice melted."),
    ("{s} opened the cage of the parrot.", "The parrot flew away."),
    ("{s} studied hard for the test.", "{s} got a good grade."),
    ("{s} planted an apple tree.", "Apples grew in the garden."),
    ("{s} knocked over the bottle.", "Wine ran over the table."),
    ("{s} drove too fast.", "The police stopped the car."),
    ("{s} kicked a ball at the mirror.", "The mirror cracked."),
    ("{s} won the race.", "{s} received a silver cup."),
    ("{s} painted the door.", "The door had a new color."),
    ("{s} sold wool at the market.", "{s} came home with money."),
)


def copa(world, rng):
    subject = rng.choice(world.people)
    right, wrong = rng.sample(_CAUSE_AND_EFFECT, 2)
    question = rng.choice(("cause", "effect"))
    cause, effect = (text.format(s=subject) for text in right)
    premise, answer = (effect, cause) if question == "cause" else (cause, effect)
    choices = [answer, wrong[question == "effect"].format(s=subject)]
    label = rng.randrange(2)
    return {
        "premise": premise,
        "choice1": choices[label],
        "choice2": choices[1 - label],
        "question": question,
        "label": label,
        "idx": 0,
    }


_ACTIVITIES = (
    (
        "cook pasta",
        "fill a pot with water",
        "put the pot on the stove",
        "drop the pasta into the hot water",
    ),
    (
        "bake bread",
        "mix flour with water",
        "knead the dough",
        "bake the loaf in the oven",
    ),
    (
        "wash a dog",
        "fill a tub with warm water",
        "rub soap into the fur of the dog",
        "dry the dog with a towel",
    ),
    (
        "plant a tree",
        "dig a hole in the garden",
        "set the young tree into the hole",
        "cover the roots with soil",
    ),
    (
        "send a letter",
        "write a letter to a friend",
        "put the letter into an envelope",
        "stick a stamp on the envelope",
    ),
    (
        "paint a wall",
        "open a can of paint",
        "dip a brush into the paint",
        "spread the paint over the wall",
    ),
    (
        "wash a car",
        "spray the car with water",
        "scrub the doors with a sponge",
        "polish the windows and the hood",
    ),
    (
        "catch fish",
        "sit down by the lake",
        "put a worm on the hook",
        "pull a big fish out of the lake",
    ),
    (
        "make tea",
        "heat water in a kettle",
        "put tea leaves into a cup",
        "pour the hot water over the tea leaves",
    ),
    (
        "sew on a button",
        "thread a needle",
        "hold the button against the shirt",
        "push the needle through the button",
    ),
    (
        "make a fire",
        "gather dry wood",
        "stack the wood in a ring of stones",
        "light the wood with a match",
    ),
    (
        "mend a tire",
        "take the wheel off the bicycle",
        "find the hole in the tire",
        "glue a patch over the hole",
    ),
    (
        "make a salad",
        "wash a head of lettuce",
        "slice tomatoes into a bowl",
        "toss the lettuce and tomatoes with oil",
    ),
    (
        "shear a sheep",
        "lead the sheep into the barn",
        "hold the sheep firmly",
        "cut the wool off with shears",
    ),
    (
        "polish shoes",
        "wipe the dust off the shoes",
        "rub polish into the leather",
        "buff the shoes with a soft cloth",
    ),
    (
        "wrap a present",
        "place the present on colored paper",
        "fold the paper around it",
        "tie a ribbon around the box",
    ),
    (
        "play tennis",
        "walk onto the court",
        "throw the ball into the air",
        "hit the ball over the net with the racket",
    ),
    (
        "iron a shirt",
        "lay the shirt on a board",
        "wait for the iron to get hot",
        "press the iron on the wrinkled sleeves",
    ),
)
"""What can be done, and its first, second and last step."""

_MANNERS = (
    "",
    " the easy way",
    " in a short time",
    " for the first time",
    " like an expert",
    " on your own",
)


def hellaswag(world, rng):
    """Draws an activity, in a film or in instructions, whose last step is one of four options."""
    activity, first, second, last = rng.choice(_ACTIVITIES)
    endings = rng.sample(
        [last, *rng.sample([a[-1] for a in _ACTIVITIES if a[-1] != last], 3)], 4
    )
    label = endings.index(last)
    if rng.random() < 0.5:
        person = rng.choice(world.people)
        wish = f"{person} is in {rng.choice(world.towns)} and wants to {activity}."
        context = (
            f"{wish} {person} {_third_person(first)}. After that, {person} "
            f"{_third_person(second)} and"
        )
        endings = [f"{_third_person(ending)}." for ending in endings]
        source = "activitynet"
    else:
        context = (
            f"[header] How to {activity}{rng.choice(_MANNERS)} [title] {sentence(first)}. [step] "
            f"Then {second}."
        )
        endings = [f"[substeps] Now {ending}." for ending in endings]
        source = "wikihow"
    return {
        "context": context,
        "endings": endings,
        "activity_label": sentence(activity),
        "label": label,
        "split_type": "indomain",
        "source_id": f"{source}~{activity.replace(' ', '_')}",
    }


def _third_person(step):
    verb, space, rest = step.partition(" ")
    verb = (
        f"{verb[:-1]}ies"
        if verb == "dry"
        else verb + ("es" if verb.endswith(("sh", "ch", "x", "ss")) else "s")
    )
    return verb + space + rest


_ERRANDS = (
    ("cut the rope of the {pet}", "a sharp knife"),
    ("carry {product} home from the market", "a strong bag"),
    ("dry the wet {thing}", "a clean towel"),
    ("wash the dirty {thing}", "warm water and soap"),
    ("hang a picture of a {pet} on the wall", "a hammer and a nail"),
    ("paint the door {color}", "a brush and a can of paint"),
    ("see the {thing} in a dark room", "a lamp"),
    ("look at stars over {town}", "a telescope"),
    ("find the way to {town}", "a map"),
    ("keep the {food} cold", "a refrigerator"),
    ("heat the {food}", "an oven"),
    ("keep dry in the rain in {town}", "an umbrella"),
    ("untangle the hair of {person}", "a hairbrush"),
    ("give the {pet} something to drink", "a bowl of water"),
    ("write a letter to a friend in {town}", "a pen"),
    ("mend the torn {color} shirt", "a needle and thread"),
    ("sweep the floor of the {building}", "a broom"),
    ("cross the river near {town}", "a boat"),
    ("weigh the {product}", "a pair of scales"),
    ("measure how long the {thing} is", "a ruler"),
    ("dig a hole behind the {building}", "a shovel"),
    ("reach the roof of the {building}", "a ladder"),
    ("lock the door of the {building}", "a key"),
    ("wake up early for the trip to {town}", "an alarm clock"),
)
"""What somebody wants to do, and what it is done with."""

_ASKED = (
    "How do you {goal}?",
    "To {goal}, you can",
    "{goal}",
    "What should I do if I want to {goal}?",
)


def piqa(world, rng):
    (goal, right), (_, wrong) = rng.sample(_ERRANDS, 2)
    goal = goal.format(
        food=rng.choice(world.foods),
        thing=rng.choice(world.things),
        pet=rng.choice(world.pets),
        color=rng.choice(world.colors),
        town=rng.choice(world.towns),
        person=rng.choice(world.people),
        building=rng.choice(("school", "station", "library")),
        product=rng.choice(world.products),
    )
    solutions = [f"use {tool}." for tool in (right, wrong)]
    asked = rng.choice(_ASKED)
    if not asked.endswith("can"):
        solutions = [sentence(solution) for solution in solutions]
    label = rng.randrange(2)
    return {
        "id": "",
        "goal": asked.format(goal=goal),
        "sol1": solutions[label],
        "sol2": solutions[1 - label],
        "label": label,
    }


_STORIES = (
    (
        "There was going to be a race in {town}. {s} wanted to take part in it.",
        ("{s} trained every day for months.", "{s} won the race easily."),
        ("{s} stayed in bed instead of training.", "{s} was the last to finish."),
    ),
    (
        "{s} had a test at school in {town}. It was about all the towns of {country}.",
        ("{s} learned their names by heart.", "{s} got the best grade in the class."),
        ("{s} did not open the book even once.", "{s} could not answer any question."),
    ),
    (
        "{s} had invited a guest from {town} who was fond of {food}. Dinner was on the stove.",
        ("{s} stirred it with care.", "The guest asked for a second plate."),
        (
            "{s} forgot about it and read a book.",
            "Dinner was burned, and the guest went home hungry.",
        ),
    ),
    (
        "{s} found a lost {pet} in {town}. It wore a tag with an address.",
        (
            "{s} rang the bell at that address.",
            "The owner was happy to have the {pet} back.",
        ),
        (
            "Nobody was at home at that address.",
            "{s} had to look after the {pet} for another day.",
        ),
    ),
    (
        "{s} wanted to take the train to {town}. It was due to leave at noon.",
        ("{s} was at the station an hour early.", "{s} got a good seat on the train."),
        (
            "{s} arrived at the station after noon.",
            "{s} had to wait for the next train.",
        ),
    ),
    (
        "{s} saw a {color} coat in a shop in {town}. It was very expensive.",
        ("{s} had saved enough money for it.", "{s} left the shop in the new coat."),
        ("{s} had only a few coins.", "{s} left the shop without the coat."),
    ),
    (
        "{s} went for a long walk near {town}. Dark clouds came up.",
        ("{s} had packed an umbrella.", "{s} came home dry."),
        (
            "{s} had brought neither an umbrella nor a coat.",
            "{s} came home soaking wet.",
        ),
    ),
    (
        "{s} planted beans behind the house in {town}. The ground was dry.",
        ("{s} watered them each evening.", "Soon there were plenty of beans to eat."),
        ("{s} went away and nobody watered them.", "All the plants dried up."),
    ),
    (
        "{s} had borrowed a {thing} from a neighbor in {town}. The neighbor needed it again.",
        (
            "{s} brought it back at once.",
            "The neighbor thanked {s} for being so quick.",
        ),
        ("{s} had damaged it by accident.", "{s} bought the neighbor a new {thing}."),
    ),
    (
        "{s} sang in a choir in {town}. The big concert was on Sunday.",
        ("{s} had a clear voice that day.", "The audience cheered for {s}."),
        ("{s} had a sore throat that day.", "The concert took place without {s}."),
    ),
    (
        "{s} bought a {pet} at the market of {town}. The {pet} was afraid of people.",
        (
            "{s} was gentle and patient with it.",
            "After a while the {pet} followed {s} everywhere.",
        ),
        ("{s} shouted at it all the time.", "One night the {pet} ran away."),
    ),
    (
        "{s} baked a cake for a party in {town}. The recipe asked for sugar.",
        (
            "{s} followed it to the letter.",
            "Everybody at the party loved the sweet cake.",
        ),
        ("{s} took salt by mistake.", "Nobody at the party could eat the cake."),
    ),
)
"""How a story begins, and two ways for it to go on and end."""

_DAYS = (
    "It was Monday.",
    "It was a day in May.",
    "This was last year.",
    "This happened in spring.",
    "It was the first week of July.",
)


def story_cloze(world, rng):
    beginning, *ways = rng.choice(_STORIES)
    day = rng.choice(_DAYS)
    slots = {
        "s": rng.choice(world.people),
        "town": rng.choice(world.towns),
        "country": rng.choice(world.countries),
        "food": rng.choice(world.foods),
        "pet": rng.choice(world.pets),
        "color": rng.choice(world.colors),
        "thing": rng.choice(world.things),
    }
    right, wrong = rng.sample(ways, 2)
    endings = rng.sample([right[1], wrong[1]], 2)
    return {
        "context": f"{day} {beginning} {right[0]}".format(**slots),
        "endings": [ending.format(**slots) for ending in endings],
        "label": endings.index(right[1]) + 1,
    }
