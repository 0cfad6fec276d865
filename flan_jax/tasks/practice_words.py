"""The names and nouns that a practice world draws from.

Each noun stands after "a" or "the" unchanged: none begins with a vowel sound. The first words of
each list make up the constant world, see `practice_world.World`.
"""

WOMEN = (
    "Anna", "Clara", "Emma", "Greta", "Ida", "Karin", "Alice", "Beth", "Carla", "Dora", "Edith",
    "Fiona", "Gina", "Hanna", "Irene", "Julia", "Kate", "Laura", "Maria", "Nora", "Olga",
    "Paula", "Rosa", "Sara", "Tina", "Ursula", "Vera", "Wilma", "Yvonne", "Zelda", "Agnes",
    "Bella", "Celia", "Diana", "Elena", "Flora", "Gloria", "Helen", "Ingrid", "Judith", "Klara",
    "Linda", "Martha", "Nadia", "Olivia", "Petra", "Rita", "Silvia", "Thea", "Una", "Viola",
    "Wanda", "Zoe", "Amelia", "Birgit", "Cora", "Daisy", "Elsa", "Frida", "Grace", "Hilda",
    "Iris", "Jane", "Kira", "Lena", "Mona", "Nina", "Odette", "Pia", "Ruth", "Sonia", "Tara",
    "Ulla", "Vicky", "Wendy", "Yara",
)  # fmt: skip
MEN = (
    "Boris", "David", "Felix", "Henry", "Jonas", "Leo", "Adam", "Bruno", "Carl", "Daniel",
    "Erik", "Frank", "George", "Hugo", "Ivan", "Jack", "Kurt", "Lukas", "Martin", "Noah",
    "Oscar", "Paul", "Ralph", "Simon", "Thomas", "Ulrich", "Victor", "Walter", "Xaver", "Yann",
    "Albert", "Ben", "Colin", "Dennis", "Emil", "Fred", "Gustav", "Harold", "Igor", "Jacob",
    "Karl", "Louis", "Max", "Nils", "Otto", "Peter", "Robert", "Samuel", "Tim", "Urban",
    "Viktor", "Will", "Zeno", "Anton", "Bernard", "Conrad", "Dirk", "Edgar", "Fabian", "Gerald",
    "Hans", "Isaac", "Jasper", "Kevin", "Lars", "Marco", "Norman", "Oliver", "Philip", "Rudolf",
    "Stefan", "Tobias", "Uwe", "Vincent", "Werner", "Yuri",
)  # fmt: skip
TOWNS = (
    "Arden", "Brook", "Colby", "Dunmore", "Elton", "Fairview", "Grafton", "Hilltop", "Ashford",
    "Barton", "Carlow", "Dalton", "Eastwick", "Farley", "Glenmoor", "Harwood", "Ilford",
    "Kelby", "Linton", "Marlow", "Newbury", "Oakham", "Penrose", "Quarley", "Redhill",
    "Seaford", "Thorpe", "Upton", "Varley", "Weston", "Yarrow", "Alder", "Birchfield",
    "Crowley", "Danby", "Elmwood", "Foxley", "Greenford", "Haven", "Ivybridge", "Kingsley",
    "Langford", "Midvale", "Northam", "Orford", "Pinewood", "Ramsey", "Stonebridge", "Tilbury",
    "Underhill", "Verwood", "Whitby", "Amberley", "Brackley", "Corby", "Denholm", "Enfield",
    "Fenwick", "Goldcrest", "Hartley", "Inverby", "Jarrow", "Kirkby", "Lowell", "Millbrook",
    "Nordby", "Overton", "Pelham", "Rosedale", "Selby", "Tamworth", "Usk", "Wexcombe",
    "Yelland",
)  # fmt: skip
COUNTRIES = (
    "Norland", "Sudland", "Estia", "Westia", "Balvia", "Cordania", "Delmaria", "Falonia",
    "Garland", "Hestia", "Ilmaria", "Jutania", "Kordia", "Lavonia", "Moravela", "Nerovia",
    "Ostravia", "Polvania", "Quentia", "Ravonia", "Solvia", "Tarmania", "Ulvania", "Vestria",
    "Zandia", "Arvonia", "Brelland", "Caldia", "Dorland", "Elvania",
)  # fmt: skip
PRODUCTS = (
    "cheese", "glass", "wool", "silver", "honey", "paper", "salt", "wine", "leather", "pottery",
    "silk", "timber", "coffee", "butter", "cider", "cotton", "copper", "lace", "marble",
    "mustard", "pepper", "perfume", "porcelain", "rope", "soap", "steel", "sugar", "tea",
    "tobacco", "wax", "chocolate", "jam",
)  # fmt: skip
JOBS = (
    "teacher", "baker", "doctor", "farmer", "painter", "pilot", "singer", "tailor", "barber",
    "builder", "butcher", "carpenter", "clerk", "cook", "dancer", "dentist", "diver", "driver",
    "florist", "gardener", "guard", "guide", "hunter", "jeweler", "joiner", "judge", "lawyer",
    "librarian", "mason", "mechanic", "miller", "miner", "nurse", "plumber", "poet", "porter",
    "courier", "potter", "printer", "reporter", "roofer", "sailor", "sculptor", "shepherd",
    "shoemaker", "smith", "soldier", "vet", "waiter", "weaver", "welder", "writer",
)  # fmt: skip
FOODS = (
    "soup", "bread", "rice", "fish", "cake", "apples", "pasta", "beans", "berries", "cabbage",
    "carrots", "cherries", "chicken", "corn", "grapes", "ham", "lamb", "lentils", "melon",
    "mushrooms", "noodles", "nuts", "pancakes", "peaches", "pears", "peas", "pie", "plums",
    "pizza", "porridge", "potatoes", "pudding", "salad", "sausages", "spinach", "stew",
    "tomatoes", "waffles", "yogurt",
)  # fmt: skip
PETS = (
    "cat", "dog", "horse", "parrot", "rabbit", "goat", "turtle", "duck", "canary", "chameleon",
    "donkey", "ferret", "frog", "goldfish", "goose", "hamster", "hen", "lizard", "mouse",
    "pigeon", "pony", "raven", "sheep", "snake", "squirrel", "tortoise",
)  # fmt: skip
COLORS = (
    "red", "blue", "green", "yellow", "white", "black", "brown", "gray", "beige", "gold",
    "pink", "purple", "silver", "violet",
)  # fmt: skip
THINGS = (
    "table", "chair", "spoon", "coat", "ring", "candle", "bottle", "knife", "bowl", "mirror",
    "basket", "bell", "belt", "bench", "blanket", "box", "brush", "bucket", "button", "cage",
    "clock", "comb", "cup", "curtain", "desk", "door", "drum", "fan", "fence", "flag", "flute",
    "fork", "gate", "glove", "hammer", "hat", "jar", "jug", "kettle", "key", "ladder", "lamp",
    "lid", "lock", "mask", "mug", "needle", "pan", "pipe", "plate", "pot", "purse", "rake",
    "razor", "saddle", "saw", "scarf", "shelf", "shield", "shovel", "sign", "spade", "statue",
    "stool", "sword", "tray", "trunk", "vase", "wheel", "whistle",
)  # fmt: skip
MATERIALS = (
    "wood", "metal", "cloth", "glass", "bone", "brass", "bronze", "clay", "leather", "plastic",
    "stone", "straw",
)  # fmt: skip
PLACES_IN_TOWN = (
    "market", "school", "garden", "station", "library", "harbor", "kitchen", "park", "bakery",
    "bank", "barn", "bridge", "cellar", "church", "castle", "cinema", "factory", "farm",
    "forest", "fountain", "gym", "hospital", "hotel", "lake", "mill", "museum", "palace",
    "pharmacy", "pier", "playground", "pool", "river", "square", "stadium", "temple", "theater",
    "tower", "zoo",
)  # fmt: skip

SPORTS = (
    "tennis", "football", "chess", "golf", "hockey", "rugby", "cricket", "volleyball", "handball",
    "basketball", "baseball", "badminton", "bowling", "polo", "squash", "billiards",
)  # fmt: skip
DRINKS = (
    "milk", "water", "juice", "lemonade", "cocoa", "beer", "cider", "coffee", "tea", "wine",
    "mineral water", "apple juice", "buttermilk", "ginger ale", "punch", "soda",
)  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
NUMBERS = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "twenty", "thirty", "forty", "fifty", "ninety",
)  # fmt: skip

# Some of the words, for sentences that do not fit all of them.

LAND_PETS = (
    "cat", "dog", "horse", "rabbit", "goat", "donkey", "ferret", "pony", "sheep",
)  # fmt: skip
"""Pets with fur that can be taken for a walk, wear a tag and run away."""

DISHES = (
    "soup", "rice", "fish", "pasta", "cabbage", "chicken", "corn", "ham", "lamb", "porridge",
    "spinach", "stew",
)  # fmt: skip
"""Foods that are cooked with salt and stand in the singular."""

PORTABLE_THINGS = (
    "chair", "spoon", "coat", "ring", "candle", "bottle", "knife", "bowl", "mirror", "basket",
    "bell", "belt", "blanket", "box", "brush", "bucket", "cage", "clock", "comb", "cup", "drum",
    "fan", "flag", "flute", "fork", "glove", "hammer", "hat", "jar", "jug", "kettle", "key",
    "ladder", "lamp", "lock", "mask", "mug", "needle", "pan", "plate", "pot", "purse", "rake",
    "razor", "saddle", "saw", "scarf", "shield", "shovel", "spade", "statue", "stool", "sword",
    "tray", "trunk", "vase", "wheel", "whistle",
)  # fmt: skip
"""Things that can be lost, lent and sent."""

VESSELS = (
    "spoon", "bottle", "knife", "bowl", "bucket", "cup", "fork", "jar", "jug", "kettle", "lid",
    "mug", "pan", "plate", "pot", "tray", "vase",
)  # fmt: skip
"""Things that are washed in the kitchen."""

PAINTABLE_THINGS = (
    "table", "chair", "bowl", "bench", "box", "bucket", "cage", "desk", "door", "drum", "fence",
    "gate", "ladder", "lamp", "mask", "shelf", "shield", "sign", "stool", "tray", "trunk",
    "vase", "wheel",
)  # fmt: skip
"""Things that look like new when they are painted."""

MEETING_PLACES = (
    "market", "school", "garden", "station", "library", "harbor", "park", "bakery", "bank",
    "church", "castle", "cinema", "factory", "gym", "hospital", "hotel", "museum", "palace",
    "pharmacy", "playground", "square", "stadium", "temple", "theater", "tower", "zoo",
)  # fmt: skip
"""Places that a town builds, and in which, or at which, people meet."""

BUILDINGS = (
    "school", "station", "library", "bakery", "bank", "barn", "church", "castle", "cinema",
    "factory", "gym", "hospital", "hotel", "mill", "museum", "palace", "pharmacy", "temple",
    "theater", "tower",
)  # fmt: skip
"""Places that have a door, floors and a roof."""

OPEN_PLACES = ("market", "garden", "harbor", "park", "forest", "playground", "square")
"""Places in the open air, "in" which one can walk."""
