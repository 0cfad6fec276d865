"""Everyday knowledge that the practice rows call for: what causes what, how things are done.

It is true in every world. Tasks ask for it, each split for its own part of it (see
`practice_world.split_knowledge`), and the plain texts tell it. In all texts `{s}` is a person; the
other slots are kinds of words in `practice_words`, in the singular. Items of two topics are never
alike, so that an item of another topic can stand as a wrong answer.
"""


def draw_from_topics(topics, rng, count):
    """Draws one item from each of `count` topics.

    Each item comes as often first, as the right one, as in another place, so that the options
    alone do not tell which is right.
    """
    return [rng.choice(topics[topic]) for topic in rng.sample(list(topics), count)]


CAUSES_AND_EFFECTS: dict[str, tuple[tuple[str, str], ...]] = {
    "kitchen": (
        ("{s} baked the bread for too long.", "The bread burned."),
        ("{s} put too much salt into the soup.", "The soup tasted bad."),
        ("{s} left the milk in the sun.", "The milk turned sour."),
        ("{s} forgot the pot on the stove.", "Smoke filled the kitchen."),
        ("{s} took the ice cream out of the freezer.", "The ice cream melted."),
        ("{s} cut up a raw onion.", "The eyes of {s} filled with tears."),
        ("{s} put a tray of water into the freezer.", "The water turned to ice."),
        ("{s} put the kettle on the fire.", "The water began to boil."),
        ("{s} stirred sugar into the tea.", "The tea tasted sweet."),
        ("{s} put yeast into the dough.", "The dough rose."),
        ("{s} touched the hot stove.", "{s} burned a finger."),
        ("{s} squeezed a lemon into the water.", "The water tasted sour."),
    ),
    "garden and weather": (
        ("{s} forgot to water the flowers.", "The flowers dried out."),
        ("{s} planted an apple tree.", "Years later there were apples in the garden."),
        (
            "It rained for a week near the house of {s}.",
            "The river flooded the meadow.",
        ),
        ("{s} left the book out in the rain.", "The pages got wet."),
        ("A storm blew around the house of {s}.", "A branch broke off the old tree."),
        ("The sun shone on the snowman of {s} all day.", "The snowman shrank."),
        ("{s} scattered seeds on the ground.", "Birds came and pecked at the ground."),
        ("The night was very cold where {s} lives.", "The pond froze over."),
        ("{s} did not pull out the weeds.", "The weeds grew higher than the beans."),
        ("{s} raked up the leaves.", "The lawn was clear of leaves."),
        ("Lightning struck the oak of {s}.", "The oak caught fire."),
        (
            "Snow fell on the street of {s} all night.",
            "In the morning the street was white.",
        ),
    ),
    "body": (
        ("{s} ate too much cake.", "{s} had a stomach ache."),
        ("{s} worked all night.", "{s} was tired in the morning."),
        ("{s} wore no coat in the snow.", "{s} caught a cold."),
        ("{s} did not eat all day.", "{s} was very hungry by the evening."),
        ("{s} ran up the long hill.", "{s} was out of breath."),
        ("{s} lay on the beach all day.", "The skin of {s} turned red."),
        ("{s} slipped on the ice.", "{s} broke an arm."),
        ("{s} fell off the swing.", "{s} had a bruise on the knee."),
        ("{s} took the medicine.", "The fever of {s} went down."),
        ("{s} walked all day in tight shoes.", "{s} had sore feet."),
        ("{s} shouted all through the match.", "{s} could only whisper afterwards."),
        ("{s} ate nothing but sweets for years.", "{s} had bad teeth."),
    ),
    "things that break": (
        ("{s} dropped the bowl.", "The bowl broke."),
        ("{s} sat down on the old chair.", "The chair fell apart."),
        ("{s} kicked a ball at the mirror.", "The mirror cracked."),
        ("{s} knocked over the bottle.", "Wine ran over the table."),
        ("{s} pulled hard at the thin rope.", "The rope snapped."),
        ("{s} hung a heavy coat on the hook.", "The hook came off the wall."),
        ("{s} stepped on the toy.", "The toy was crushed."),
        ("{s} caught a sleeve on a nail.", "The sleeve was torn."),
        ("{s} blew too much air into the balloon.", "The balloon burst."),
        ("{s} rode the bicycle over a nail.", "The tire went flat."),
        ("{s} filled the paper bag with stones.", "The bottom of the bag gave way."),
        ("{s} leaned on the rotten fence.", "The fence fell over."),
    ),
    "house": (
        ("{s} lit the candle.", "The dark room became bright."),
        ("{s} washed the shirt.", "The shirt was clean again."),
        ("{s} sharpened the knife.", "The knife cut very well."),
        ("{s} painted the door.", "The door had a new color."),
        ("{s} closed the window.", "The noise of the street grew faint."),
        ("{s} forgot the bill for the electricity.", "The power was cut off."),
        ("{s} left the tap running.", "The bathtub ran over."),
        ("{s} put oil on the hinge.", "The door no longer squeaked."),
        ("{s} swept the floor.", "There was no more dust on the floor."),
        ("{s} wound up the old clock.", "The clock began to tick."),
        ("{s} hung the wet towels in the wind.", "The towels were soon dry."),
        ("{s} washed a red sock with the white sheets.", "The sheets turned pink."),
    ),
    "travel": (
        ("{s} missed the train.", "{s} had to wait at the station."),
        ("{s} drove too fast.", "The police stopped the car."),
        ("{s} set out with an empty tank.", "The car came to a halt on the road."),
        ("{s} lost the map in the forest.", "{s} could not find the way out."),
        ("{s} left the passport at home.", "{s} was turned back at the border."),
        ("{s} packed too many books.", "The suitcase was almost too heavy to lift."),
        ("{s} rowed against the wind.", "The boat hardly moved."),
        ("{s} took the wrong bus.", "{s} ended up in a strange part of town."),
        ("{s} let go of the cart on the hill.", "The cart rolled down."),
        (
            "{s} showed a stranger the way to the hotel.",
            "The stranger found the hotel.",
        ),
        ("{s} parked in front of the gate.", "Nobody could drive into the yard."),
        ("{s} went to sea in a storm.", "The ship of {s} swayed from side to side."),
    ),
    "animals": (
        ("{s} fed the hungry dog.", "The dog stopped whining."),
        ("{s} opened the cage of the parrot.", "The parrot flew away."),
        ("{s} stepped on the tail of the cat.", "The cat screeched."),
        ("{s} threw a stick.", "The dog brought the stick back."),
        ("{s} came too close to the beehive.", "{s} was stung."),
        ("{s} left the gate of the meadow open.", "The sheep ran out onto the road."),
        ("{s} put a worm on the hook.", "A fish bit."),
        ("{s} rode the horse through the mud.", "The legs of the horse were dirty."),
        ("{s} left a fish on a plate by the cat.", "The cat ate the fish."),
        ("{s} milked the cow.", "There was a bucket of fresh milk."),
        ("{s} brushed the pony.", "The coat of the pony shone."),
        ("{s} set a trap with cheese.", "A mouse was caught."),
    ),
    "school and sport": (
        ("{s} studied hard for the test.", "{s} got a good grade."),
        ("{s} practiced every song.", "{s} sang well at the concert."),
        ("{s} won the race.", "{s} received a silver cup."),
        ("{s} finished reading the novel.", "{s} took the novel back to the library."),
        ("{s} never did any homework.", "The teacher wrote to the parents of {s}."),
        ("{s} scored the last goal.", "The team lifted {s} up and cheered."),
        ("{s} was caught cheating in the exam.", "{s} failed the exam."),
        (
            "{s} forgot the words of the play.",
            "Somebody whispered the words from behind the curtain.",
        ),
        ("{s} talked all through the lesson.", "{s} had to stay after class."),
        ("{s} learned French.", "{s} could read the French newspaper."),
        ("{s} wrote down a wrong number.", "The sum came out wrong."),
        ("{s} painted the best picture.", "The picture was hung in the museum."),
    ),
    "money": (
        ("{s} sold wool at the market.", "{s} came home with money."),
        (
            "{s} spent all the money on the first day.",
            "{s} could not pay for the hotel.",
        ),
        ("{s} put a coin into the machine.", "A ticket dropped out of the machine."),
        ("{s} asked for a loan.", "The bank lent {s} some money."),
        (
            "The shop of {s} lowered its prices.",
            "There was a long line in front of the shop.",
        ),
        ("{s} saved coins for a year.", "{s} could buy a bicycle."),
        (
            "{s} went shopping without the purse.",
            "{s} could not pay for the vegetables.",
        ),
        ("{s} borrowed ten coins from a neighbor.", "{s} owed the neighbor money."),
        (
            "{s} took a lost wallet to the police.",
            "The owner of the wallet gave {s} a reward.",
        ),
        ("{s} sold the house.", "New people moved into the house."),
        ("{s} did not pay the rent.", "The landlord sent {s} an angry letter."),
        (
            "{s} worked extra hours at the factory.",
            "The wages of {s} were higher that month.",
        ),
    ),
    "people": (
        ("{s} told a funny story.", "The children laughed."),
        ("{s} forgot the birthday of a friend.", "The friend was sad all day."),
        ("{s} told lies.", "Nobody believed {s} any more."),
        ("{s} hugged the sad child.", "The child stopped crying."),
        ("{s} praised the cook.", "The cook smiled."),
        ("{s} played loud music at night.", "The neighbors complained."),
        ("{s} moved far away.", "The old friends of {s} wrote letters."),
        ("{s} rang the bell.", "Somebody came to the door."),
        ("{s} could not keep a secret.", "Nobody told {s} a secret again."),
        ("{s} shouted for help.", "People came running."),
        ("{s} sang a song for the baby.", "The baby fell asleep."),
        ("{s} said sorry after the quarrel.", "The two were friends again."),
    ),
}
"""Causes and their effects."""

ACTIVITIES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "cooking": (
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
            "make tea",
            "heat water in a kettle",
            "put tea leaves into a cup",
            "pour the hot water over the tea leaves",
        ),
        (
            "make a salad",
            "wash a head of lettuce",
            "slice tomatoes into a bowl",
            "toss the lettuce and tomatoes with oil",
        ),
        (
            "fry an egg",
            "melt butter in a pan",
            "crack an egg on the edge of the pan",
            "let the egg fry until the white is firm",
        ),
        (
            "make lemonade",
            "cut lemons in half",
            "squeeze the juice into a jug",
            "stir water and sugar into the juice",
        ),
        (
            "mash potatoes",
            "peel some potatoes",
            "boil the potatoes until they are soft",
            "crush the potatoes with butter and milk",
        ),
        (
            "make a sandwich",
            "cut two slices of bread",
            "spread butter on the slices",
            "lay ham between the two slices",
        ),
    ),
    "washing": (
        (
            "wash a dog",
            "fill a tub with warm water",
            "rub soap into the fur of the dog",
            "dry the dog with a towel",
        ),
        (
            "wash a car",
            "spray the car with water",
            "scrub the doors with a sponge",
            "polish the windows and the hood",
        ),
        (
            "polish shoes",
            "wipe the dust off the shoes",
            "rub polish into the leather",
            "buff the shoes with a soft cloth",
        ),
        (
            "iron a shirt",
            "lay the shirt on a board",
            "wait for the iron to get hot",
            "press the iron on the wrinkled sleeves",
        ),
        (
            "do the dishes",
            "run hot water into the sink",
            "scrub the plates in the suds",
            "put the clean plates on a rack",
        ),
        (
            "clean a window",
            "dip a rag into soapy water",
            "wipe the glass from top to bottom",
            "rub the glass with dry paper until it shines",
        ),
        (
            "do the laundry",
            "sort the clothes by color",
            "put the clothes into the washing machine",
            "hang the wet clothes on a line",
        ),
        (
            "clean a carpet",
            "carry the carpet into the yard",
            "hang the carpet over a bar",
            "beat the dust out of the carpet",
        ),
    ),
    "farm and garden": (
        (
            "plant a tree",
            "dig a hole in the garden",
            "set the young tree into the hole",
            "cover the roots with soil",
        ),
        (
            "shear a sheep",
            "lead the sheep into the barn",
            "hold the sheep firmly",
            "cut the wool off with shears",
        ),
        (
            "milk a cow",
            "sit down on a stool beside the cow",
            "put a bucket under the udder",
            "squeeze milk into the bucket",
        ),
        (
            "mow the lawn",
            "push the mower out of the shed",
            "start the engine of the mower",
            "walk up and down until all the grass is short",
        ),
        (
            "pick apples",
            "lean a ladder against the tree",
            "climb up with a basket",
            "twist the apples off the branches",
        ),
        (
            "feed the hens",
            "fill a bucket with grain",
            "walk into the hen house",
            "scatter the grain among the hens",
        ),
        (
            "sow wheat",
            "plow the field",
            "break up the clods with a harrow",
            "throw the seed over the field",
        ),
        (
            "grow beans",
            "push beans into the soil",
            "water the bed each evening",
            "tie the tall plants to poles",
        ),
    ),
    "making and mending": (
        (
            "paint a wall",
            "open a can of paint",
            "dip a brush into the paint",
            "spread the paint over the wall",
        ),
        (
            "sew on a button",
            "thread a needle",
            "hold the button against the shirt",
            "push the needle through the button",
        ),
        (
            "mend a tire",
            "take the wheel off the bicycle",
            "find the hole in the tire",
            "glue a patch over the hole",
        ),
        (
            "knit a scarf",
            "choose a ball of wool",
            "cast stitches onto a needle",
            "knit row after row until the scarf is long enough",
        ),
        (
            "build a birdhouse",
            "saw a plank into pieces",
            "drill a round hole into one piece",
            "nail the pieces together",
        ),
        (
            "hang a picture",
            "mark a spot on the wall",
            "drive a nail into the spot",
            "hook the frame over the nail",
        ),
        (
            "change a light bulb",
            "switch off the lamp",
            "screw out the old bulb",
            "screw in the new bulb",
        ),
        (
            "make a clay pot",
            "put a lump of clay on the wheel",
            "shape the clay with both hands",
            "fire the pot in a kiln",
        ),
    ),
    "paper and errands": (
        (
            "send a letter",
            "write a letter to a friend",
            "put the letter into an envelope",
            "stick a stamp on the envelope",
        ),
        (
            "wrap a present",
            "place the present on colored paper",
            "fold the paper around it",
            "tie a ribbon around the paper",
        ),
        (
            "borrow a book",
            "look along the shelves of the library",
            "take a book down",
            "show the librarian a card",
        ),
        (
            "draw a portrait",
            "ask a friend to sit still",
            "sketch the shape of the head",
            "shade the face with a soft pencil",
        ),
        (
            "make a paper boat",
            "fold a sheet in half",
            "bend the corners to the middle",
            "pull the folded paper apart into a boat",
        ),
        (
            "travel by train",
            "buy a ticket at the counter",
            "wait on the platform",
            "look for a seat in the train",
        ),
        (
            "buy vegetables",
            "go to a stall at the market",
            "choose carrots and peas",
            "pay the farmer for the carrots and peas",
        ),
        (
            "take a photograph",
            "point the camera at the children",
            "ask the children to smile",
            "press the button of the camera",
        ),
    ),
    "outdoors": (
        (
            "catch fish",
            "sit down by the lake",
            "put a worm on the hook",
            "pull a big fish out of the lake",
        ),
        (
            "make a fire",
            "gather dry wood",
            "stack the wood in a ring of stones",
            "light the wood with a match",
        ),
        (
            "play tennis",
            "walk onto the court",
            "throw the ball into the air",
            "hit the ball over the net with the racket",
        ),
        (
            "row a boat",
            "untie the boat from the pier",
            "sit down facing the pier",
            "pull at the oars again and again",
        ),
        (
            "fly a kite",
            "carry the kite up a windy hill",
            "run against the wind",
            "let out the string as the kite rises",
        ),
        (
            "put up a tent",
            "look for flat ground",
            "spread out the cloth and the poles",
            "tie the ropes to pegs in the ground",
        ),
        (
            "ride a horse",
            "put a saddle on the horse",
            "set one foot into the stirrup",
            "swing the other leg over the saddle",
        ),
        (
            "build a snowman",
            "roll a big ball of snow",
            "set a smaller ball on top of it",
            "stick in a carrot for the nose",
        ),
    ),
}
"""What can be done, and its first, second and last step."""

ERRANDS: dict[str, tuple[tuple[str, str], ...]] = {
    "cleaning": (
        ("wash the dirty {vessel}", "warm water and soap"),
        ("dry the wet {vessel}", "a clean towel"),
        ("sweep the floor of the {building}", "a broom"),
        ("get the dust out of a carpet", "a vacuum cleaner"),
        ("clean between two teeth", "a piece of dental floss"),
        ("wipe up the spilled soup", "a damp sponge"),
        ("make the {color} shoes shine", "a tin of shoe polish"),
        ("scrub mud off the boots", "a stiff brush"),
    ),
    "workshop": (
        ("hang a picture of a {pet} on the wall", "a hammer and a nail"),
        ("make the door of the {building} {color}", "a can of paint"),
        ("mend the torn {color} shirt", "a needle and thread"),
        ("join two planks", "some screws and a screwdriver"),
        ("take a thick branch off the tree", "a saw"),
        ("make rough wood smooth", "a sheet of sandpaper"),
        ("put the broken {vessel} together again", "a tube of strong glue"),
        ("pull a bent nail out of a plank", "a pair of pliers"),
    ),
    "kitchen": (
        ("keep the {food} cold", "a refrigerator"),
        ("heat the {dish}", "a stove"),
        ("open a tin of fish", "a can opener"),
        ("get the water out of the cooked pasta", "a sieve"),
        ("turn cheese into fine shreds", "a grater"),
        ("beat the eggs", "a whisk"),
        ("get the cork out of the bottle", "a corkscrew"),
        ("serve the {dish} to {s}", "a plate"),
    ),
    "seeing and measuring": (
        ("see the {thing} in a dark room", "a lamp"),
        ("look at the stars over {town}", "a telescope"),
        ("weigh the {product}", "a pair of scales"),
        ("measure how long the {thing} is", "a ruler"),
        ("find out how hot it is in {town}", "a thermometer"),
        ("read very small print", "a magnifying glass"),
        ("time a runner to the second", "a stopwatch"),
        ("wake up early for the trip to {town}", "an alarm clock"),
    ),
    "travel": (
        ("find the way to {town}", "a map"),
        ("cross the river near {town}", "a boat"),
        ("keep dry in the rain in {town}", "an umbrella"),
        ("carry {product} home from the market", "a strong bag"),
        ("slide down a snowy hill near {town}", "a sled"),
        ("sleep in the forest near {town}", "a tent"),
        ("get to the tenth floor without the stairs", "an elevator"),
        ("fly over the hills of {country}", "a hot-air balloon"),
    ),
    "body and clothes": (
        ("untangle the hair of {s}", "a hairbrush"),
        ("keep the fingers warm in the snow", "a pair of gloves"),
        ("get rid of a beard", "a razor"),
        ("protect the eyes from the glare of the snow", "a pair of sunglasses"),
        ("stop a small cut from bleeding", "a bandage"),
        ("keep the trousers from slipping down", "a belt"),
        ("get the wrinkles out of the {color} shirt", "a hot iron"),
        ("soothe a sore throat", "a spoonful of honey"),
    ),
    "garden and animals": (
        ("dig a hole behind the {building}", "a shovel"),
        ("gather the fallen leaves", "a rake"),
        ("give the flowers some water", "a watering can"),
        ("make the grass short", "a lawn mower"),
        ("keep the {animal} from running away", "a leash"),
        ("reach the roof of the {building}", "a ladder"),
        ("catch a butterfly", "a net"),
        ("feed the hungry horse", "a bundle of hay"),
    ),
    "writing and home": (
        ("write down the name of {s}", "a pen"),
        ("lock the door of the {building}", "a key"),
        ("rub out a wrong word", "an eraser"),
        ("send a letter to {town}", "an envelope and a stamp"),
        ("mark a page in a book", "a bookmark"),
        ("find out what a word means", "a dictionary"),
        ("play a song for {s}", "a guitar"),
        ("tell which day of the month it is", "a calendar"),
    ),
}
"""What somebody wants to do, and what it is done with."""

STORIES: tuple[tuple[str, tuple[str, str], tuple[str, str]], ...] = (
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
        "{s} had invited a guest from {town} who was fond of {dish}. Dinner was on the stove.",
        ("{s} stirred it with care.", "The guest asked for a second plate."),
        (
            "{s} forgot about it and read a book.",
            "Dinner was burned, and the guest went home hungry.",
        ),
    ),
    (
        "{s} found a lost {animal} in {town}. It wore a tag with an address.",
        (
            "{s} rang the bell at that address.",
            "The owner was happy to have the {animal} back.",
        ),
        (
            "Nobody was at home at that address.",
            "{s} had to look after the {animal} for another day.",
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
        "{s} had borrowed a {portable} from a neighbor in {town}. The neighbor needed it again.",
        (
            "{s} brought it back at once.",
            "The neighbor thanked {s} for being so quick.",
        ),
        (
            "{s} had damaged it by accident.",
            "{s} bought the neighbor a new {portable}.",
        ),
    ),
    (
        "{s} sang in a choir in {town}. The big concert was on Sunday.",
        ("{s} had a clear voice that day.", "The audience cheered for {s}."),
        ("{s} had a sore throat that day.", "The concert took place without {s}."),
    ),
    (
        "{s} bought a {animal} at the market of {town}. The {animal} was afraid of people.",
        (
            "{s} was gentle and patient with it.",
            "After a while the {animal} followed {s} everywhere.",
        ),
        ("{s} shouted at it all the time.", "One night the {animal} ran away."),
    ),
    (
        "{s} baked a cake for a party in {town}. The recipe asked for sugar.",
        (
            "{s} followed it to the letter.",
            "Everybody at the party loved the sweet cake.",
        ),
        ("{s} took salt by mistake.", "Nobody at the party could eat the cake."),
    ),
    (
        "{s} wanted to become a {job}. The best school for that was in {town}.",
        (
            "The school had a place for {s}.",
            "{s} packed a suitcase and moved to {town}.",
        ),
        (
            "The school had no place for {s}.",
            "{s} stayed at home and looked for other work.",
        ),
    ),
    (
        "{s} and a friend wanted to have a picnic near {town}. They packed bread and {food}.",
        ("The sun shone all day.", "They sat in the grass and ate until evening."),
        (
            "It began to pour as they set out.",
            "They ate the picnic in the kitchen instead.",
        ),
    ),
    (
        "{s} ordered a {thing} from a shop in {town}. A parcel came a week later.",
        (
            "Everything in it was just as ordered.",
            "{s} put the {thing} in its place and was content.",
        ),
        (
            "What lay in it was broken.",
            "{s} sent the parcel back and asked for the money.",
        ),
    ),
    (
        "{s} was to give a speech in the {building} of {town}. Many people had come.",
        (
            "{s} had practiced in front of the mirror for days.",
            "The people clapped for a long time.",
        ),
        (
            "{s} had left the notes at home and remembered nothing.",
            "The people looked at one another and left early.",
        ),
    ),
    (
        "{s} played chess against a {job} from {town}. Both had only a few pieces left.",
        (
            "{s} saw a clever move.",
            "The {job} shook hands with {s} and said: well won.",
        ),
        (
            "{s} overlooked a danger.",
            "The {job} took the king of {s}, and the game was lost.",
        ),
    ),
    (
        "{s} climbed the mountain behind {town}. From the top one could see all of {country}.",
        (
            "The sky was clear that morning.",
            "{s} looked at the view and took many pictures.",
        ),
        (
            "Thick fog lay on the mountain that morning.",
            "{s} came down again without having seen a thing.",
        ),
    ),
    (
        "{s} had lost a ring somewhere in {town}. It was a present from a friend.",
        (
            "A child found it near the {building} and brought it.",
            "{s} gave the child a big piece of cake.",
        ),
        ("Nobody had seen it anywhere.", "{s} had to tell the friend the sad news."),
    ),
    (
        "{s} kept bees in a garden near {town}. Every summer they made honey.",
        (
            "This year there were flowers everywhere.",
            "{s} filled more jars than ever before.",
        ),
        (
            "This year hardly any flowers came out.",
            "There was no honey for {s} to sell.",
        ),
    ),
    (
        "{s} went to the lake near {town} to skate. It had been cold for some days.",
        ("The ice was a foot thick.", "{s} skated across the lake and back."),
        ("The ice was still very thin.", "{s} put the skates away and walked home."),
    ),
    (
        "{s} wanted to surprise a friend in {town} with a visit. It was a long way.",
        (
            "The friend was at home and opened the door.",
            "They talked until late at night.",
        ),
        (
            "The friend had gone on a trip that day.",
            "{s} left a note at the door and drove back.",
        ),
    ),
    (
        "{s} bought an old {portable} at the market of {town}. It cost only one coin.",
        (
            "A dealer said that it was three hundred years old.",
            "{s} sold it to a museum for a lot of money.",
        ),
        (
            "A dealer said that it was worth nothing.",
            "{s} kept it in the cellar with other old things.",
        ),
    ),
    (
        "{s} opened a small shop in {town}. It sold {product}.",
        (
            "People came from far away to buy some.",
            "After a year {s} opened a second shop.",
        ),
        ("Hardly anybody came in.", "After a year {s} had to close the shop."),
    ),
    (
        "{s} wanted to read in bed. The lamp went out all of a sudden.",
        (
            "{s} had another bulb in the drawer.",
            "Soon the lamp was on again and {s} read on.",
        ),
        (
            "There was no bulb in the house.",
            "{s} laid the book aside and went to sleep.",
        ),
    ),
    (
        "{s} was walking through {town} when a dog ran up. The dog had no leash.",
        (
            "It wagged its tail and wanted to play.",
            "{s} patted the dog and threw a ball for it.",
        ),
        (
            "It growled and showed its teeth.",
            "{s} climbed onto a wall and called for help.",
        ),
    ),
    (
        "{s} painted a picture of {town}. It was to be sold at the fair.",
        (
            "A rich {job} fell in love with it.",
            "{s} came home without the picture but with a full purse.",
        ),
        (
            "Nobody gave it a second look.",
            "{s} carried the picture home and hung it over the bed.",
        ),
    ),
    (
        "{s} heard a noise in the night. It came from the kitchen.",
        (
            "It was only the wind at an open window.",
            "{s} closed the window and went back to bed.",
        ),
        (
            "It was a thief with a big bag.",
            "{s} locked the bedroom door and called the police.",
        ),
    ),
    (
        "{s} took part in a quiz in {town}. The last question was about {country}.",
        (
            "{s} had lived there for years.",
            "{s} gave the right answer and won the prize.",
        ),
        ("{s} had never heard of that country.", "{s} could only guess and lost."),
    ),
    (
        "{s} had to catch a plane in {town}. There was little time left.",
        ("The road was empty.", "{s} reached the airport in time and flew off."),
        ("There was a long traffic jam.", "The plane took off without {s}."),
    ),
    (
        "{s} wanted to cook {dish} for the family. There was no salt in the house.",
        ("A neighbor lent {s} some.", "The family said that it tasted just right."),
        ("All the shops were closed.", "The family said that it tasted of nothing."),
    ),
    (
        "{s} built a boat out of old planks. One day it was put on the river near {town}.",
        (
            "Every gap had been sealed with tar.",
            "The boat carried {s} to the other bank.",
        ),
        (
            "There were still gaps between the planks.",
            "The boat sank, and {s} had to swim.",
        ),
    ),
)
"""How a story begins, and two ways for it to go on and end."""

OPINION_WORDS: dict[str, tuple[str, ...]] = {
    "praise": (
        "wonderful", "excellent", "delightful", "superb", "lovely", "charming", "splendid",
        "great", "pleasant", "perfect", "fine", "marvelous", "admirable", "adorable", "amazing",
        "astounding", "awesome", "beautiful", "brilliant", "captivating", "classy",
        "commendable", "dazzling", "divine", "elegant", "enchanting", "enjoyable",
        "exceptional", "exquisite", "fabulous", "fantastic", "fascinating", "faultless",
        "first-rate", "flawless", "glorious", "good", "gorgeous", "grand", "heavenly",
        "impressive", "inspiring", "likable", "magical", "magnificent", "masterly",
        "matchless", "memorable", "nice", "outstanding", "phenomenal", "pleasing",
        "praiseworthy", "refreshing", "remarkable", "rewarding", "satisfying", "sensational",
        "spectacular", "stellar", "stunning", "sublime", "terrific", "thrilling", "top-notch",
        "tremendous", "unbeatable", "unforgettable", "unrivaled", "uplifting", "wondrous",
        "world-class",
    ),
    "blame": (
        "awful", "terrible", "dreadful", "boring", "disappointing", "poor", "horrible", "dull",
        "bad", "miserable", "worthless", "unpleasant", "abominable", "abysmal", "annoying",
        "appalling", "atrocious", "bland", "bleak", "clumsy", "crude", "depressing",
        "deplorable", "dire", "disastrous", "disgraceful", "disgusting", "dismal", "dreary",
        "faulty", "feeble", "flawed", "frustrating", "ghastly", "grim", "hideous", "hopeless",
        "horrid", "inferior", "irritating", "lackluster", "lamentable", "lame", "lifeless",
        "lousy", "mediocre", "nasty", "objectionable", "obnoxious", "painful", "pathetic",
        "pitiful", "pointless", "repulsive", "revolting", "rotten", "second-rate", "shabby",
        "shoddy", "sloppy", "substandard", "tacky", "tasteless", "tedious", "tiresome",
        "unbearable", "uninspired", "unsatisfying", "vile", "weak", "woeful", "wretched",
    ),
}  # fmt: skip
"""Words for what somebody likes or dislikes."""

OPINION_RESULTS: dict[str, tuple[str, ...]] = {
    "praise": (
        "I will tell all my friends to go.",
        "I would gladly pay twice as much for it.",
        "I cannot wait to go again.",
        "Do not miss it.",
        "I came home with a smile on my face.",
        "I wish it had lasted longer.",
        "I have already been there three times.",
        "Whoever made this knows the trade.",
        "I thanked them before I left.",
        "It was the high point of my week.",
        "It was worth every coin.",
        "It made me happy for the rest of the day.",
        "Everybody around me cheered.",
        "I would recommend it to anybody.",
        "They have won me over.",
        "I will be back before long.",
    ),
    "blame": (
        "I will tell all my friends to stay away.",
        "I want my money back.",
        "I will never go again.",
        "Save your money.",
        "I left before the end.",
        "I wish I had stayed at home.",
        "Once was more than enough for me.",
        "Whoever made this should look for other work.",
        "I complained before I left.",
        "It was the low point of my week.",
        "It was a waste of time.",
        "It spoiled the rest of the day for me.",
        "Everybody around me groaned.",
        "I would not wish it on anybody.",
        "They have lost a customer.",
        "I have seldom been so glad to get out.",
    ),
}
"""What somebody does or says who liked something, or did not."""
