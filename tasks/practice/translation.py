"""Practice rows of the translation tasks."""

import dataclasses

from flan_jax.tasks.practice_world import sentence


@dataclasses.dataclass(frozen=True)
class _Language:
    """How a language says what some of the world's statements say.

    `patterns` are keyed by relation and wording. `words` has the form in which each value stands in
    every pattern of its relation, so that nothing is inflected. Values that it lacks are names.
    """

    patterns: dict[tuple[str, int], str]
    words: dict[str, str]


_SPANISH = _Language(
    {
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
    {
        "soup": "sopa", "bread": "pan", "rice": "arroz", "fish": "pescado",
        "cake": "tarta", "apples": "manzanas", "pasta": "pasta", "beans": "judías",
        "cat": "un gato", "dog": "un perro", "horse": "un caballo", "parrot": "un loro",
        "rabbit": "un conejo", "goat": "una cabra", "turtle": "una tortuga", "duck": "un pato",
        "red": "rojo", "blue": "azul", "green": "verde", "yellow": "amarillo",
        "white": "blanco", "black": "negro", "brown": "marrón", "gray": "gris",
        "cheese": "queso", "glass": "vidrio", "wool": "lana", "silver": "plata",
        "honey": "miel", "paper": "papel", "salt": "sal", "wine": "vino",
    },
)  # fmt: skip

_FRENCH = _Language(
    {
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
    {
        "soup": "de la soupe", "bread": "du pain", "rice": "du riz", "fish": "du poisson",
        "cake": "du gâteau", "apples": "des pommes", "pasta": "des pâtes", "beans": "des haricots",
        "cat": "un chat", "dog": "un chien", "horse": "un cheval", "parrot": "un perroquet",
        "rabbit": "un lapin", "goat": "une chèvre", "turtle": "une tortue", "duck": "un canard",
        "red": "rouge", "blue": "bleue", "green": "verte", "yellow": "jaune",
        "white": "blanche", "black": "noire", "brown": "marron", "gray": "grise",
        "Norland": "au Norland", "Sudland": "au Sudland", "Estia": "en Estia",
        "Westia": "en Westia",
        "cheese": "son fromage", "glass": "son verre", "wool": "sa laine",
        "silver": "son argenterie",
        "honey": "son miel", "paper": "son papier", "salt": "son sel", "wine": "son vin",
    },
)  # fmt: skip

_GERMAN = _Language(
    {
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
    {
        "soup": "Suppe", "bread": "Brot", "rice": "Reis", "fish": "Fisch",
        "cake": "Kuchen", "apples": "Äpfel", "pasta": "Nudeln", "beans": "Bohnen",
        "cat": "eine Katze", "dog": "einen Hund", "horse": "ein Pferd", "parrot": "einen Papagei",
        "rabbit": "ein Kaninchen", "goat": "eine Ziege", "turtle": "eine Schildkröte",
        "duck": "eine Ente",
        "red": "rot", "blue": "blau", "green": "grün", "yellow": "gelb",
        "white": "weiß", "black": "schwarz", "brown": "braun", "gray": "grau",
        "cheese": "Käse", "glass": "Glas", "wool": "Wolle", "silver": "Silber",
        "honey": "Honig", "paper": "Papier", "salt": "Salz", "wine": "Wein",
    },
)  # fmt: skip

_TURKISH = _Language(
    {
        ("home", 0): "{s}, {o} kasabasında yaşıyor.",
        ("job", 0): "{s} {o} olarak çalışıyor.",
        ("food", 0): "{s} {o} sever.",
        ("pet", 2): "Bir {o} {s} ile birlikte yaşıyor.",
        ("car", 0): "{s} {o} bir araba kullanıyor.",
        ("country", 0): "{s}, {o} ülkesinde bir kasabadır.",
        ("country", 1): "{s} kasabası {o} ülkesindedir.",
        ("product", 2): "İnsanlar {s} kasabasında {o} satın alıyor.",
    },
    {
        "teacher": "öğretmen", "baker": "fırıncı", "doctor": "doktor", "farmer": "çiftçi",
        "painter": "ressam", "pilot": "pilot", "singer": "şarkıcı", "tailor": "terzi",
        "soup": "çorba içmeyi", "bread": "ekmek yemeyi", "rice": "pilav yemeyi",
        "fish": "balık yemeyi",
        "cake": "kek yemeyi", "apples": "elma yemeyi", "pasta": "makarna yemeyi",
        "beans": "fasulye yemeyi",
        "cat": "kedi", "dog": "köpek", "horse": "at", "parrot": "papağan",
        "rabbit": "tavşan", "goat": "keçi", "turtle": "kaplumbağa", "duck": "ördek",
        "red": "kırmızı", "blue": "mavi", "green": "yeşil", "yellow": "sarı",
        "white": "beyaz", "black": "siyah", "brown": "kahverengi", "gray": "gri",
        "cheese": "peynir", "glass": "cam", "wool": "yün", "silver": "gümüş",
        "honey": "bal", "paper": "kâğıt", "salt": "tuz", "wine": "şarap",
    },
)  # fmt: skip

_CZECH = _Language(
    {
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
    {
        "soup": "polévku", "bread": "chléb", "rice": "rýži", "fish": "ryby",
        "cake": "dort", "apples": "jablka", "pasta": "těstoviny", "beans": "fazole",
        "cat": "kočku", "dog": "psa", "horse": "koně", "parrot": "papouška",
        "rabbit": "králíka", "goat": "kozu", "turtle": "želvu", "duck": "kachnu",
        "red": "červené", "blue": "modré", "green": "zelené", "yellow": "žluté",
        "white": "bílé", "black": "černé", "brown": "hnědé", "gray": "šedé",
        "Norland": "v Norlandu", "Sudland": "v Sudlandu", "Estia": "v Estii", "Westia": "ve Westii",
        "cheese": "sýr", "glass": "sklo", "wool": "vlnu", "silver": "stříbro",
        "honey": "med", "paper": "papír", "salt": "sůl", "wine": "víno",
    },
)  # fmt: skip

_FINNISH = _Language(
    {
        ("home", 2): "{o} on kaupunki, jossa {s} asuu.",
        ("job", 1): "{s} on {o}.",
        ("food", 0): "{s} syö mielellään {o}.",
        ("pet", 0): "{s} omistaa {o}.",
        ("car", 0): "{s} ajaa {o} autoa.",
        ("country", 0): "{s} on kaupunki {o}.",
        ("product", 0): "{s} on tunnettu {o}.",
    },
    {
        "teacher": "opettaja", "baker": "leipuri", "doctor": "lääkäri", "farmer": "maanviljelijä",
        "painter": "maalari", "pilot": "lentäjä", "singer": "laulaja", "tailor": "räätäli",
        "soup": "keittoa", "bread": "leipää", "rice": "riisiä", "fish": "kalaa",
        "cake": "kakkua", "apples": "omenoita", "pasta": "pastaa", "beans": "papuja",
        "cat": "kissan", "dog": "koiran", "horse": "hevosen", "parrot": "papukaijan",
        "rabbit": "kanin", "goat": "vuohen", "turtle": "kilpikonnan", "duck": "ankan",
        "red": "punaista", "blue": "sinistä", "green": "vihreää", "yellow": "keltaista",
        "white": "valkoista", "black": "mustaa", "brown": "ruskeaa", "gray": "harmaata",
        "Norland": "Norlandissa", "Sudland": "Sudlandissa", "Estia": "Estiassa",
        "Westia": "Westiassa",
        "cheese": "juustostaan", "glass": "lasistaan", "wool": "villastaan", "silver": "hopeastaan",
        "honey": "hunajastaan", "paper": "paperistaan", "salt": "suolastaan", "wine": "viinistään",
    },
)  # fmt: skip

_ROMANIAN = _Language(
    {
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
    {
        "soup": "supă", "bread": "pâine", "rice": "orez", "fish": "pește",
        "cake": "tort", "apples": "mere", "pasta": "paste", "beans": "fasole",
        "cat": "o pisică", "dog": "un câine", "horse": "un cal", "parrot": "un papagal",
        "rabbit": "un iepure", "goat": "o capră", "turtle": "o broască țestoasă", "duck": "o rață",
        "red": "roșie", "blue": "albastră", "green": "verde", "yellow": "galbenă",
        "white": "albă", "black": "neagră", "brown": "maro", "gray": "gri",
        "cheese": "brânză", "glass": "sticlă", "wool": "lână", "silver": "argint",
        "honey": "miere", "paper": "hârtie", "salt": "sare", "wine": "vin",
    },
)  # fmt: skip

_RUSSIAN = _Language(
    {
        ("home", 0): "{s} живёт в городе {o}.",
        ("home", 2): "{o} — это город, где живёт {s}.",
        ("food", 0): "{s} любит есть {o}.",
        ("pet", 0): "{s} держит {o}.",
        ("car", 0): "{s} ездит на {o} машине.",
        ("country", 0): "{s} — это город в стране {o}.",
        ("country", 1): "Город {s} находится в стране {o}.",
        ("product", 2): "Люди покупают {o} в городе {s}.",
    },
    {
        "soup": "суп", "bread": "хлеб", "rice": "рис", "fish": "рыбу",
        "cake": "торт", "apples": "яблоки", "pasta": "макароны", "beans": "фасоль",
        "cat": "кошку", "dog": "собаку", "horse": "лошадь", "parrot": "попугая",
        "rabbit": "кролика", "goat": "козу", "turtle": "черепаху", "duck": "утку",
        "red": "красной", "blue": "синей", "green": "зелёной", "yellow": "жёлтой",
        "white": "белой", "black": "чёрной", "brown": "коричневой", "gray": "серой",
        "cheese": "сыр", "glass": "стекло", "wool": "шерсть", "silver": "серебро",
        "honey": "мёд", "paper": "бумагу", "salt": "соль", "wine": "вино",
    },
)  # fmt: skip


def _text_pair(world, rng, code, language):
    """One or two facts in English and in another language."""
    told = {relation for relation, _ in language.patterns}
    english, foreign = [], []
    for fact in rng.sample(
        [f for f in world.facts if f.relation.name in told], rng.choice((1, 2, 2, 2))
    ):
        wording = rng.choice(
            [w for relation, w in language.patterns if relation == fact.relation.name]
        )
        pattern = language.patterns[fact.relation.name, wording]
        english.append(fact.say(wording))
        foreign.append(
            sentence(
                pattern.format(
                    s=fact.subject, o=language.words.get(fact.value, fact.value)
                )
            )
        )
    return {"en": " ".join(english), code: " ".join(foreign)}


def para_crawl_enes(world, rng):
    return _text_pair(world, rng, "es", _SPANISH)


def wmt14_enfr(world, rng):
    return _text_pair(world, rng, "fr", _FRENCH)


def wmt16_translate_deen(world, rng):
    return _text_pair(world, rng, "de", _GERMAN)


def wmt16_translate_tren(world, rng):
    return _text_pair(world, rng, "tr", _TURKISH)


def wmt16_translate_csen(world, rng):
    return _text_pair(world, rng, "cs", _CZECH)


def wmt16_translate_fien(world, rng):
    return _text_pair(world, rng, "fi", _FINNISH)


def wmt16_translate_roen(world, rng):
    return _text_pair(world, rng, "ro", _ROMANIAN)


def wmt16_translate_ruen(world, rng):
    return _text_pair(world, rng, "ru", _RUSSIAN)
