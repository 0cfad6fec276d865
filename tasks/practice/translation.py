"""Practice rows of the translation tasks."""

import dataclasses
from collections.abc import Mapping

from flan_jax.tasks.practice_words import COUNTRIES
from flan_jax.tasks.practice_world import sentence


@dataclasses.dataclass(frozen=True)
class Language:
    """How a language says what some of the world's statements say.

    Attributes:
      patterns: the statement in this language, by relation and wording.
      words: of each relation the form in which its values stand in all its patterns, so that nothing
        is inflected. Facts with other values are not translated. The values of a relation that is
        missing are names, which pass unchanged.
    """

    patterns: Mapping[tuple[str, int], str]
    words: Mapping[str, Mapping[str, str]]


def _french_country(name):
    """Returns the name with its preposition: names in -land are masculine, others feminine."""
    return f"{'au' if name.endswith('land') else 'en'} {name}"


def _czech_country(name):
    """Returns the locative with its preposition, for names in -land, -ia and -la."""
    preposition = "ve" if name[0] in "VW" else "v"
    if name.endswith("land"):
        return f"{preposition} {name}u"
    if name.endswith("ia"):
        return f"{preposition} {name[:-1]}i"
    return f"{preposition} {name[:-1]}e"


def _finnish_country(name):
    """Returns the inessive of a name; all have back vowels."""
    return f"{name}issa" if name.endswith("land") else f"{name}ssa"


SPANISH = Language(
    patterns={
        ("home", 0): "{s} vive en {o}.",
        ("home", 2): "{o} es el pueblo donde vive {s}.",
        ("food", 0): "A {s} le gusta comer {o}.",
        ("pet", 0): "{s} tiene {o}.",
        ("pet", 1): "La mascota de {s} es {o}.",
        ("pet", 2): "{o} vive con {s}.",
        ("car", 0): "{s} conduce un coche {o}.",
        ("car", 1): "El coche de {s} es {o}.",
        ("country", 0): "{s} es un pueblo de {o}.",
        ("country", 1): "El pueblo de {s} está en {o}.",
        ("product", 0): "El pueblo de {s} es conocido por su {o}.",
        ("product", 2): "La gente compra {o} en {s}.",
    },
    words={
        "food": {
            "soup": "sopa", "bread": "pan", "rice": "arroz", "fish": "pescado", "cake": "tarta",
            "apples": "manzanas", "pasta": "pasta", "beans": "judías", "cabbage": "col",
            "carrots": "zanahorias", "cherries": "cerezas", "chicken": "pollo", "corn": "maíz",
            "grapes": "uvas", "ham": "jamón", "lamb": "cordero", "lentils": "lentejas",
            "melon": "melón", "mushrooms": "setas", "noodles": "fideos", "nuts": "nueces",
            "pancakes": "tortitas", "peaches": "melocotones", "pears": "peras",
            "peas": "guisantes", "plums": "ciruelas", "pizza": "pizza", "potatoes": "patatas",
            "salad": "ensalada", "sausages": "salchichas", "spinach": "espinacas",
            "tomatoes": "tomates", "yogurt": "yogur",
        },
        "pet": {
            "cat": "un gato", "dog": "un perro", "horse": "un caballo", "parrot": "un loro",
            "rabbit": "un conejo", "goat": "una cabra", "turtle": "una tortuga", "duck": "un pato",
            "canary": "un canario", "chameleon": "un camaleón", "donkey": "un burro",
            "ferret": "un hurón", "frog": "una rana", "goldfish": "un pez dorado",
            "goose": "un ganso", "hamster": "un hámster", "hen": "una gallina",
            "lizard": "una lagartija", "mouse": "un ratón", "pigeon": "una paloma",
            "pony": "un poni", "raven": "un cuervo", "sheep": "una oveja",
            "snake": "una serpiente", "squirrel": "una ardilla",
        },
        "car": {
            "red": "rojo", "blue": "azul", "green": "verde", "yellow": "amarillo",
            "white": "blanco", "black": "negro", "brown": "marrón", "gray": "gris",
            "beige": "beige", "gold": "dorado", "pink": "rosa", "purple": "morado",
            "silver": "plateado", "violet": "violeta",
        },
        "product": {
            "cheese": "queso", "glass": "vidrio", "wool": "lana", "silver": "plata",
            "honey": "miel", "paper": "papel", "salt": "sal", "wine": "vino",
            "pottery": "cerámica", "leather": "cuero", "silk": "seda", "timber": "madera",
            "coffee": "café", "butter": "mantequilla", "cider": "sidra", "cotton": "algodón",
            "copper": "cobre", "lace": "encaje", "marble": "mármol", "mustard": "mostaza",
            "pepper": "pimienta", "perfume": "perfume", "porcelain": "porcelana", "soap": "jabón",
            "steel": "acero", "sugar": "azúcar", "tea": "té", "tobacco": "tabaco", "wax": "cera",
            "chocolate": "chocolate", "jam": "mermelada",
        },
    },
)  # fmt: skip

FRENCH = Language(
    patterns={
        ("home", 0): "{s} habite à {o}.",
        ("home", 2): "{o} est la ville où habite {s}.",
        ("food", 0): "{s} aime manger {o}.",
        ("pet", 0): "{s} a {o}.",
        ("pet", 2): "{o} vit avec {s}.",
        ("car", 0): "{s} conduit une voiture {o}.",
        ("car", 2): "{s} a une voiture qui est {o}.",
        ("country", 0): "{s} est une ville située {o}.",
        ("product", 0): "{s} est une ville connue pour {o}.",
    },
    words={
        "food": {
            "soup": "de la soupe", "bread": "du pain", "rice": "du riz", "fish": "du poisson",
            "cake": "du gâteau", "apples": "des pommes", "pasta": "des pâtes",
            "beans": "des haricots", "cabbage": "du chou", "carrots": "des carottes",
            "cherries": "des cerises", "chicken": "du poulet", "corn": "du maïs",
            "grapes": "du raisin", "ham": "du jambon", "lamb": "de l'agneau",
            "lentils": "des lentilles", "melon": "du melon", "mushrooms": "des champignons",
            "noodles": "des nouilles", "nuts": "des noix", "pancakes": "des crêpes",
            "peaches": "des pêches", "pears": "des poires", "peas": "des petits pois",
            "plums": "des prunes", "pizza": "de la pizza", "potatoes": "des pommes de terre",
            "salad": "de la salade", "sausages": "des saucisses", "spinach": "des épinards",
            "tomatoes": "des tomates", "waffles": "des gaufres", "yogurt": "du yaourt",
        },
        "pet": {
            "cat": "un chat", "dog": "un chien", "horse": "un cheval", "parrot": "un perroquet",
            "rabbit": "un lapin", "goat": "une chèvre", "turtle": "une tortue",
            "duck": "un canard", "canary": "un canari", "chameleon": "un caméléon",
            "donkey": "un âne", "ferret": "un furet", "frog": "une grenouille",
            "goldfish": "un poisson rouge", "goose": "une oie", "hamster": "un hamster",
            "hen": "une poule", "lizard": "un lézard", "mouse": "une souris",
            "pigeon": "un pigeon", "pony": "un poney", "raven": "un corbeau", "sheep": "un mouton",
            "snake": "un serpent", "squirrel": "un écureuil",
        },
        "car": {
            "red": "rouge", "blue": "bleue", "green": "verte", "yellow": "jaune",
            "white": "blanche", "black": "noire", "brown": "marron", "gray": "grise",
            "beige": "beige", "gold": "dorée", "pink": "rose", "purple": "violette",
            "silver": "argentée",
        },
        "product": {
            "cheese": "son fromage", "glass": "son verre", "wool": "sa laine",
            "silver": "son argenterie", "honey": "son miel", "paper": "son papier",
            "salt": "son sel", "wine": "son vin", "pottery": "sa poterie", "leather": "son cuir",
            "silk": "sa soie", "timber": "son bois", "coffee": "son café", "butter": "son beurre",
            "cider": "son cidre", "cotton": "son coton", "copper": "son cuivre",
            "lace": "sa dentelle", "marble": "son marbre", "mustard": "sa moutarde",
            "pepper": "son poivre", "perfume": "son parfum", "porcelain": "sa porcelaine",
            "soap": "son savon", "steel": "son acier", "sugar": "son sucre", "tea": "son thé",
            "tobacco": "son tabac", "wax": "sa cire", "chocolate": "son chocolat",
            "jam": "sa confiture",
        },
        "country": {name: _french_country(name) for name in COUNTRIES},
    },
)  # fmt: skip

GERMAN = Language(
    patterns={
        ("home", 0): "{s} wohnt in {o}.",
        ("home", 1): "Das Zuhause von {s} ist in {o}.",
        ("home", 2): "{o} ist die Stadt, in der {s} wohnt.",
        ("food", 0): "{s} isst gern {o}.",
        ("pet", 0): "{s} hat {o}.",
        ("car", 0): "{s} fährt ein {o}es Auto.",
        ("car", 1): "Das Auto von {s} ist {o}.",
        ("car", 2): "{s} hat ein Auto, das {o} ist.",
        ("country", 0): "{s} ist eine Stadt in {o}.",
        ("country", 1): "Die Stadt {s} liegt in {o}.",
        ("product", 2): "In {s} kauft man {o}.",
    },
    words={
        "food": {
            "soup": "Suppe", "bread": "Brot", "rice": "Reis", "fish": "Fisch", "cake": "Kuchen",
            "apples": "Äpfel", "pasta": "Nudeln", "beans": "Bohnen", "berries": "Beeren",
            "cabbage": "Kohl", "carrots": "Karotten", "cherries": "Kirschen",
            "chicken": "Hähnchen", "corn": "Mais", "grapes": "Trauben", "ham": "Schinken",
            "lamb": "Lamm", "lentils": "Linsen", "melon": "Melone", "mushrooms": "Pilze",
            "nuts": "Nüsse", "pancakes": "Pfannkuchen", "peaches": "Pfirsiche", "pears": "Birnen",
            "peas": "Erbsen", "plums": "Pflaumen", "pizza": "Pizza", "potatoes": "Kartoffeln",
            "pudding": "Pudding", "salad": "Salat", "sausages": "Würstchen", "spinach": "Spinat",
            "stew": "Eintopf", "tomatoes": "Tomaten", "waffles": "Waffeln", "yogurt": "Joghurt",
        },
        "pet": {
            "cat": "eine Katze", "dog": "einen Hund", "horse": "ein Pferd",
            "parrot": "einen Papagei", "rabbit": "ein Kaninchen", "goat": "eine Ziege",
            "turtle": "eine Schildkröte", "duck": "eine Ente", "canary": "einen Kanarienvogel",
            "chameleon": "ein Chamäleon", "donkey": "einen Esel", "ferret": "ein Frettchen",
            "frog": "einen Frosch", "goldfish": "einen Goldfisch", "goose": "eine Gans",
            "hamster": "einen Hamster", "hen": "eine Henne", "lizard": "eine Eidechse",
            "mouse": "eine Maus", "pigeon": "eine Taube", "pony": "ein Pony",
            "raven": "einen Raben", "sheep": "ein Schaf", "snake": "eine Schlange",
            "squirrel": "ein Eichhörnchen",
        },
        "car": {
            "red": "rot", "blue": "blau", "green": "grün", "yellow": "gelb", "white": "weiß",
            "black": "schwarz", "brown": "braun", "gray": "grau", "gold": "golden",
            "silver": "silbern", "violet": "violett",
        },
        "product": {
            "cheese": "Käse", "glass": "Glas", "wool": "Wolle", "silver": "Silber",
            "honey": "Honig", "paper": "Papier", "salt": "Salz", "wine": "Wein",
            "pottery": "Keramik", "leather": "Leder", "silk": "Seide", "timber": "Holz",
            "coffee": "Kaffee", "butter": "Butter", "cider": "Apfelwein", "cotton": "Baumwolle",
            "copper": "Kupfer", "lace": "Spitze", "marble": "Marmor", "mustard": "Senf",
            "pepper": "Pfeffer", "perfume": "Parfüm", "porcelain": "Porzellan", "soap": "Seife",
            "steel": "Stahl", "sugar": "Zucker", "tea": "Tee", "tobacco": "Tabak", "wax": "Wachs",
            "chocolate": "Schokolade", "jam": "Marmelade",
        },
    },
)  # fmt: skip

TURKISH = Language(
    patterns={
        ("home", 0): "{s}, {o} kasabasında yaşıyor.",
        ("job", 0): "{s} {o} olarak çalışıyor.",
        ("food", 0): "{s} {o} sever.",
        ("pet", 2): "Bir {o} {s} ile birlikte yaşıyor.",
        ("car", 0): "{s} {o} bir araba kullanıyor.",
        ("country", 0): "{s}, {o} ülkesinde bir kasabadır.",
        ("country", 1): "{s} kasabası {o} ülkesindedir.",
        ("product", 2): "İnsanlar {s} kasabasında {o} satın alıyor.",
    },
    words={
        "job": {
            "teacher": "öğretmen", "baker": "fırıncı", "doctor": "doktor", "farmer": "çiftçi",
            "painter": "ressam", "pilot": "pilot", "singer": "şarkıcı", "tailor": "terzi",
            "barber": "berber", "butcher": "kasap", "carpenter": "marangoz", "clerk": "memur",
            "cook": "aşçı", "courier": "kurye", "dancer": "dansçı", "dentist": "dişçi",
            "diver": "dalgıç", "driver": "şoför", "florist": "çiçekçi", "gardener": "bahçıvan",
            "guard": "bekçi", "guide": "rehber", "hunter": "avcı", "jeweler": "kuyumcu",
            "judge": "yargıç", "lawyer": "avukat", "librarian": "kütüphaneci",
            "mechanic": "tamirci", "miner": "madenci", "nurse": "hemşire", "plumber": "tesisatçı",
            "poet": "şair", "porter": "hamal", "potter": "çömlekçi", "reporter": "muhabir",
            "sailor": "denizci", "sculptor": "heykeltıraş", "shepherd": "çoban",
            "shoemaker": "ayakkabıcı", "smith": "demirci", "soldier": "asker", "vet": "veteriner",
            "waiter": "garson", "weaver": "dokumacı", "welder": "kaynakçı", "writer": "yazar",
        },
        "food": {
            "soup": "çorba içmeyi", "bread": "ekmek yemeyi", "rice": "pilav yemeyi",
            "fish": "balık yemeyi", "cake": "kek yemeyi", "apples": "elma yemeyi",
            "pasta": "makarna yemeyi", "beans": "fasulye yemeyi", "cabbage": "lahana yemeyi",
            "carrots": "havuç yemeyi", "cherries": "kiraz yemeyi", "chicken": "tavuk yemeyi",
            "corn": "mısır yemeyi", "grapes": "üzüm yemeyi", "lamb": "kuzu eti yemeyi",
            "lentils": "mercimek yemeyi", "melon": "kavun yemeyi", "mushrooms": "mantar yemeyi",
            "noodles": "erişte yemeyi", "nuts": "kuruyemiş yemeyi", "peaches": "şeftali yemeyi",
            "pears": "armut yemeyi", "peas": "bezelye yemeyi", "plums": "erik yemeyi",
            "pizza": "pizza yemeyi", "potatoes": "patates yemeyi", "salad": "salata yemeyi",
            "sausages": "sosis yemeyi", "spinach": "ıspanak yemeyi", "stew": "güveç yemeyi",
            "tomatoes": "domates yemeyi", "yogurt": "yoğurt yemeyi",
        },
        "pet": {
            "cat": "kedi", "dog": "köpek", "horse": "at", "parrot": "papağan", "rabbit": "tavşan",
            "goat": "keçi", "turtle": "kaplumbağa", "duck": "ördek", "canary": "kanarya",
            "chameleon": "bukalemun", "donkey": "eşek", "frog": "kurbağa",
            "goldfish": "japon balığı", "goose": "kaz", "hamster": "hamster", "hen": "tavuk",
            "lizard": "kertenkele", "mouse": "fare", "pigeon": "güvercin", "pony": "midilli",
            "raven": "kuzgun", "sheep": "koyun", "snake": "yılan", "squirrel": "sincap",
        },
        "car": {
            "red": "kırmızı", "blue": "mavi", "green": "yeşil", "yellow": "sarı", "white": "beyaz",
            "black": "siyah", "brown": "kahverengi", "gray": "gri", "beige": "bej",
            "gold": "altın rengi", "pink": "pembe", "purple": "mor", "silver": "gümüş rengi",
            "violet": "menekşe rengi",
        },
        "product": {
            "cheese": "peynir", "glass": "cam", "wool": "yün", "silver": "gümüş", "honey": "bal",
            "paper": "kâğıt", "salt": "tuz", "wine": "şarap", "pottery": "çömlek",
            "leather": "deri", "silk": "ipek", "timber": "kereste", "coffee": "kahve",
            "butter": "tereyağı", "cider": "elma şarabı", "cotton": "pamuk", "copper": "bakır",
            "lace": "dantel", "marble": "mermer", "mustard": "hardal", "pepper": "biber",
            "perfume": "parfüm", "porcelain": "porselen", "rope": "ip", "soap": "sabun",
            "steel": "çelik", "sugar": "şeker", "tea": "çay", "tobacco": "tütün",
            "chocolate": "çikolata", "jam": "reçel",
        },
    },
)  # fmt: skip

CZECH = Language(
    patterns={
        ("home", 0): "{s} bydlí ve městě {o}.",
        ("home", 2): "{o} je město, kde bydlí {s}.",
        ("food", 1): "{s} nejraději jí {o}.",
        ("pet", 0): "{s} má {o}.",
        ("car", 0): "{s} řídí {o} auto.",
        ("car", 2): "{s} má auto, které je {o}.",
        ("country", 0): "{s} je město {o}.",
        ("country", 1): "Město {s} je {o}.",
        ("product", 2): "Lidé kupují {o} ve městě {s}.",
    },
    words={
        "food": {
            "soup": "polévku", "bread": "chléb", "rice": "rýži", "fish": "ryby", "cake": "dort",
            "apples": "jablka", "pasta": "těstoviny", "beans": "fazole", "cabbage": "zelí",
            "carrots": "mrkev", "cherries": "třešně", "chicken": "kuře", "corn": "kukuřici",
            "grapes": "hrozny", "ham": "šunku", "lamb": "jehněčí", "lentils": "čočku",
            "melon": "meloun", "mushrooms": "houby", "noodles": "nudle", "nuts": "ořechy",
            "pancakes": "palačinky", "peaches": "broskve", "pears": "hrušky", "peas": "hrášek",
            "plums": "švestky", "pizza": "pizzu", "porridge": "kaši", "potatoes": "brambory",
            "pudding": "pudink", "salad": "salát", "sausages": "klobásy", "spinach": "špenát",
            "tomatoes": "rajčata", "waffles": "vafle", "yogurt": "jogurt",
        },
        "pet": {
            "cat": "kočku", "dog": "psa", "horse": "koně", "parrot": "papouška",
            "rabbit": "králíka", "goat": "kozu", "turtle": "želvu", "duck": "kachnu",
            "canary": "kanárka", "chameleon": "chameleona", "donkey": "osla", "ferret": "fretku",
            "frog": "žábu", "goldfish": "zlatou rybku", "goose": "husu", "hamster": "křečka",
            "hen": "slepici", "lizard": "ještěrku", "mouse": "myš", "pigeon": "holuba",
            "pony": "poníka", "raven": "krkavce", "sheep": "ovci", "snake": "hada",
            "squirrel": "veverku",
        },
        "car": {
            "red": "červené", "blue": "modré", "green": "zelené", "yellow": "žluté",
            "white": "bílé", "black": "černé", "brown": "hnědé", "gray": "šedé", "beige": "béžové",
            "gold": "zlaté", "pink": "růžové", "purple": "fialové", "silver": "stříbrné",
        },
        "product": {
            "cheese": "sýr", "glass": "sklo", "wool": "vlnu", "silver": "stříbro", "honey": "med",
            "paper": "papír", "salt": "sůl", "wine": "víno", "pottery": "keramiku",
            "leather": "kůži", "silk": "hedvábí", "timber": "dřevo", "coffee": "kávu",
            "butter": "máslo", "cotton": "bavlnu", "copper": "měď", "lace": "krajku",
            "marble": "mramor", "mustard": "hořčici", "pepper": "pepř", "perfume": "parfém",
            "porcelain": "porcelán", "rope": "lano", "soap": "mýdlo", "steel": "ocel",
            "sugar": "cukr", "tea": "čaj", "tobacco": "tabák", "wax": "vosk",
            "chocolate": "čokoládu", "jam": "marmeládu",
        },
        "country": {name: _czech_country(name) for name in COUNTRIES},
    },
)  # fmt: skip

FINNISH = Language(
    patterns={
        ("home", 2): "{o} on kaupunki, jossa {s} asuu.",
        ("job", 1): "{s} on {o}.",
        ("food", 0): "{s} syö mielellään {o}.",
        ("pet", 0): "{s} omistaa {o}.",
        ("car", 0): "{s} ajaa {o} autoa.",
        ("country", 0): "{s} on kaupunki {o}.",
        ("product", 0): "{s} on tunnettu {o}.",
    },
    words={
        "job": {
            "teacher": "opettaja", "baker": "leipuri", "doctor": "lääkäri",
            "farmer": "maanviljelijä", "painter": "maalari", "pilot": "lentäjä",
            "singer": "laulaja", "tailor": "räätäli", "barber": "parturi", "builder": "rakentaja",
            "butcher": "teurastaja", "carpenter": "puuseppä", "clerk": "virkailija",
            "cook": "kokki", "courier": "lähetti", "dancer": "tanssija",
            "dentist": "hammaslääkäri", "diver": "sukeltaja", "driver": "kuljettaja",
            "gardener": "puutarhuri", "guard": "vartija", "guide": "opas", "hunter": "metsästäjä",
            "jeweler": "kultaseppä", "judge": "tuomari", "lawyer": "asianajaja",
            "librarian": "kirjastonhoitaja", "mason": "muurari", "mechanic": "mekaanikko",
            "miller": "mylläri", "nurse": "sairaanhoitaja", "poet": "runoilija",
            "potter": "savenvalaja", "reporter": "toimittaja", "sculptor": "kuvanveistäjä",
            "shepherd": "paimen", "shoemaker": "suutari", "smith": "seppä", "soldier": "sotilas",
            "vet": "eläinlääkäri", "waiter": "tarjoilija", "weaver": "kutoja",
            "welder": "hitsaaja", "writer": "kirjailija",
        },
        "food": {
            "soup": "keittoa", "bread": "leipää", "rice": "riisiä", "fish": "kalaa",
            "cake": "kakkua", "apples": "omenoita", "pasta": "pastaa", "beans": "papuja",
            "berries": "marjoja", "cabbage": "kaalia", "carrots": "porkkanoita",
            "cherries": "kirsikoita", "chicken": "kanaa", "corn": "maissia",
            "grapes": "viinirypäleitä", "ham": "kinkkua", "lamb": "lammasta",
            "lentils": "linssejä", "melon": "melonia", "mushrooms": "sieniä",
            "noodles": "nuudeleita", "nuts": "pähkinöitä", "pancakes": "lettuja",
            "peaches": "persikoita", "pears": "päärynöitä", "peas": "herneitä", "pie": "piirakkaa",
            "plums": "luumuja", "pizza": "pizzaa", "porridge": "puuroa", "potatoes": "perunoita",
            "pudding": "vanukasta", "salad": "salaattia", "sausages": "makkaroita",
            "spinach": "pinaattia", "tomatoes": "tomaatteja", "waffles": "vohveleita",
            "yogurt": "jogurttia",
        },
        "pet": {
            "cat": "kissan", "dog": "koiran", "horse": "hevosen", "parrot": "papukaijan",
            "rabbit": "kanin", "goat": "vuohen", "turtle": "kilpikonnan", "duck": "ankan",
            "canary": "kanarialinnun", "chameleon": "kameleontin", "donkey": "aasin",
            "ferret": "fretin", "frog": "sammakon", "goldfish": "kultakalan", "goose": "hanhen",
            "hamster": "hamsterin", "hen": "kanan", "lizard": "liskon", "mouse": "hiiren",
            "pigeon": "kyyhkysen", "pony": "ponin", "raven": "korpin", "sheep": "lampaan",
            "snake": "käärmeen", "squirrel": "oravan",
        },
        "car": {
            "red": "punaista", "blue": "sinistä", "green": "vihreää", "yellow": "keltaista",
            "white": "valkoista", "black": "mustaa", "brown": "ruskeaa", "gray": "harmaata",
            "beige": "beigeä", "gold": "kullanväristä", "pink": "vaaleanpunaista",
            "silver": "hopeanväristä", "violet": "violettia",
        },
        "product": {
            "cheese": "juustostaan", "glass": "lasistaan", "wool": "villastaan",
            "silver": "hopeastaan", "honey": "hunajastaan", "paper": "paperistaan",
            "salt": "suolastaan", "wine": "viinistään", "pottery": "keramiikastaan",
            "leather": "nahastaan", "silk": "silkistään", "timber": "puutavarastaan",
            "coffee": "kahvistaan", "butter": "voistaan", "cider": "siideristään",
            "cotton": "puuvillastaan", "copper": "kuparistaan", "lace": "pitsistään",
            "marble": "marmoristaan", "mustard": "sinapistaan", "pepper": "pippuristaan",
            "perfume": "hajuvedestään", "porcelain": "posliinistaan", "rope": "köydestään",
            "soap": "saippuastaan", "steel": "teräksestään", "sugar": "sokeristaan",
            "tea": "teestään", "tobacco": "tupakastaan", "wax": "vahastaan",
            "chocolate": "suklaastaan", "jam": "hillostaan",
        },
        "country": {name: _finnish_country(name) for name in COUNTRIES},
    },
)  # fmt: skip

ROMANIAN = Language(
    patterns={
        ("home", 0): "{s} locuiește în {o}.",
        ("home", 2): "{o} este orașul în care locuiește {s}.",
        ("food", 0): "{s} mănâncă cu plăcere {o}.",
        ("pet", 0): "{s} are {o}.",
        ("pet", 2): "{o} locuiește împreună cu {s}.",
        ("car", 0): "{s} conduce o mașină {o}.",
        ("car", 2): "{s} are o mașină care este {o}.",
        ("country", 0): "{s} este un oraș din {o}.",
        ("country", 1): "Orașul {s} se află în {o}.",
        ("product", 2): "Oamenii cumpără {o} în {s}.",
    },
    words={
        "food": {
            "soup": "supă", "bread": "pâine", "rice": "orez", "fish": "pește", "cake": "tort",
            "apples": "mere", "pasta": "paste", "beans": "fasole", "cabbage": "varză",
            "carrots": "morcovi", "cherries": "cireșe", "chicken": "pui", "corn": "porumb",
            "grapes": "struguri", "ham": "șuncă", "lamb": "miel", "lentils": "linte",
            "melon": "pepene", "mushrooms": "ciuperci", "noodles": "tăiței", "nuts": "nuci",
            "pancakes": "clătite", "peaches": "piersici", "pears": "pere", "peas": "mazăre",
            "pie": "plăcintă", "plums": "prune", "pizza": "pizza", "potatoes": "cartofi",
            "pudding": "budincă", "salad": "salată", "sausages": "cârnați", "spinach": "spanac",
            "stew": "tocană", "tomatoes": "roșii", "yogurt": "iaurt",
        },
        "pet": {
            "cat": "o pisică", "dog": "un câine", "horse": "un cal", "parrot": "un papagal",
            "rabbit": "un iepure", "goat": "o capră", "turtle": "o broască țestoasă",
            "duck": "o rață", "canary": "un canar", "chameleon": "un cameleon",
            "donkey": "un măgar", "frog": "o broască", "goldfish": "un peștișor auriu",
            "goose": "o gâscă", "hamster": "un hamster", "hen": "o găină", "lizard": "o șopârlă",
            "mouse": "un șoarece", "pigeon": "un porumbel", "pony": "un ponei", "raven": "un corb",
            "sheep": "o oaie", "snake": "un șarpe", "squirrel": "o veveriță",
        },
        "car": {
            "red": "roșie", "blue": "albastră", "green": "verde", "yellow": "galbenă",
            "white": "albă", "black": "neagră", "brown": "maro", "gray": "gri", "beige": "bej",
            "gold": "aurie", "pink": "roz", "purple": "mov", "silver": "argintie",
            "violet": "violetă",
        },
        "product": {
            "cheese": "brânză", "glass": "sticlă", "wool": "lână", "silver": "argint",
            "honey": "miere", "paper": "hârtie", "salt": "sare", "wine": "vin",
            "pottery": "ceramică", "leather": "piele", "silk": "mătase", "timber": "cherestea",
            "coffee": "cafea", "butter": "unt", "cider": "cidru", "cotton": "bumbac",
            "copper": "cupru", "lace": "dantelă", "marble": "marmură", "mustard": "muștar",
            "pepper": "piper", "perfume": "parfum", "porcelain": "porțelan", "rope": "frânghie",
            "soap": "săpun", "steel": "oțel", "sugar": "zahăr", "tea": "ceai", "tobacco": "tutun",
            "wax": "ceară", "chocolate": "ciocolată", "jam": "gem",
        },
    },
)  # fmt: skip

RUSSIAN = Language(
    patterns={
        ("home", 0): "{s} живёт в городе {o}.",
        ("home", 2): "{o} — это город, где живёт {s}.",
        ("food", 0): "{s} любит есть {o}.",
        ("pet", 0): "{s} держит {o}.",
        ("car", 0): "{s} ездит на {o} машине.",
        ("country", 0): "{s} — это город в стране {o}.",
        ("country", 1): "Город {s} находится в стране {o}.",
        ("product", 2): "Люди покупают {o} в городе {s}.",
    },
    words={
        "food": {
            "soup": "суп", "bread": "хлеб", "rice": "рис", "fish": "рыбу", "cake": "торт",
            "apples": "яблоки", "pasta": "макароны", "beans": "фасоль", "berries": "ягоды",
            "cabbage": "капусту", "carrots": "морковь", "cherries": "вишню", "chicken": "курицу",
            "corn": "кукурузу", "grapes": "виноград", "ham": "ветчину", "lamb": "баранину",
            "lentils": "чечевицу", "melon": "дыню", "mushrooms": "грибы", "noodles": "лапшу",
            "nuts": "орехи", "pancakes": "блины", "peaches": "персики", "pears": "груши",
            "peas": "горох", "pie": "пирог", "plums": "сливы", "pizza": "пиццу",
            "porridge": "кашу", "potatoes": "картофель", "pudding": "пудинг", "salad": "салат",
            "sausages": "сосиски", "spinach": "шпинат", "tomatoes": "помидоры", "waffles": "вафли",
            "yogurt": "йогурт",
        },
        "pet": {
            "cat": "кошку", "dog": "собаку", "horse": "лошадь", "parrot": "попугая",
            "rabbit": "кролика", "goat": "козу", "turtle": "черепаху", "duck": "утку",
            "canary": "канарейку", "chameleon": "хамелеона", "donkey": "осла", "ferret": "хорька",
            "frog": "лягушку", "goldfish": "золотую рыбку", "goose": "гуся", "hamster": "хомяка",
            "hen": "курицу", "lizard": "ящерицу", "mouse": "мышь", "pigeon": "голубя",
            "pony": "пони", "raven": "ворона", "sheep": "овцу", "snake": "змею",
            "squirrel": "белку",
        },
        "car": {
            "red": "красной", "blue": "синей", "green": "зелёной", "yellow": "жёлтой",
            "white": "белой", "black": "чёрной", "brown": "коричневой", "gray": "серой",
            "beige": "бежевой", "gold": "золотой", "pink": "розовой", "purple": "пурпурной",
            "silver": "серебристой", "violet": "фиолетовой",
        },
        "product": {
            "cheese": "сыр", "glass": "стекло", "wool": "шерсть", "silver": "серебро",
            "honey": "мёд", "paper": "бумагу", "salt": "соль", "wine": "вино",
            "pottery": "керамику", "leather": "кожу", "silk": "шёлк", "timber": "древесину",
            "coffee": "кофе", "butter": "масло", "cider": "сидр", "cotton": "хлопок",
            "copper": "медь", "lace": "кружево", "marble": "мрамор", "mustard": "горчицу",
            "pepper": "перец", "perfume": "духи", "porcelain": "фарфор", "rope": "верёвку",
            "soap": "мыло", "steel": "сталь", "sugar": "сахар", "tea": "чай", "tobacco": "табак",
            "wax": "воск", "chocolate": "шоколад", "jam": "варенье",
        },
    },
)  # fmt: skip


def _is_known(language, fact):
    """Returns whether the language has a pattern for the fact, and a word for its value."""
    name = fact.relation.name
    if all(relation != name for relation, _ in language.patterns):
        return False
    return name not in language.words or fact.value in language.words[name]


def _text_pair(world, rng, code, language):
    """One or two facts in English and in another language."""
    english, foreign = [], []
    known = [fact for fact in world.facts if _is_known(language, fact)]
    for fact in rng.sample(known, rng.choice((1, 2, 2, 2))):
        wording = rng.choice(
            [w for relation, w in language.patterns if relation == fact.relation.name]
        )
        pattern = language.patterns[fact.relation.name, wording]
        words = language.words.get(fact.relation.name, {})
        value = words.get(fact.value, fact.value)
        english.append(fact.say(wording))
        foreign.append(sentence(pattern.format(s=fact.subject, o=value)))
    return {"en": " ".join(english), code: " ".join(foreign)}


def para_crawl_enes(world, rng):
    return _text_pair(world, rng, "es", SPANISH)


def wmt14_enfr(world, rng):
    return _text_pair(world, rng, "fr", FRENCH)


def wmt16_translate_deen(world, rng):
    return _text_pair(world, rng, "de", GERMAN)


def wmt16_translate_tren(world, rng):
    return _text_pair(world, rng, "tr", TURKISH)


def wmt16_translate_csen(world, rng):
    return _text_pair(world, rng, "cs", CZECH)


def wmt16_translate_fien(world, rng):
    return _text_pair(world, rng, "fi", FINNISH)


def wmt16_translate_roen(world, rng):
    return _text_pair(world, rng, "ro", ROMANIAN)


def wmt16_translate_ruen(world, rng):
    return _text_pair(world, rng, "ru", RUSSIAN)
