"""Translation from English into another language."""

from flan_jax.tasks import FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import bleu
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import translation as practice


def _text_pair(row, code):
    english, foreign = row["en"].strip(), row[code].strip()
    return {"english": english, "answer": foreign} if english and foreign else None


def _para_crawl_enes_fields(row):
    return _text_pair(row, "es")


PARA_CRAWL_ENES = register(
    TemplatedTask(
        name="para_crawl_enes",
        cluster="translation",
        title="ParaCrawl English-Spanish",
        source=Tfds(
            "para_crawl/enes:1.2.0",
            train="train[:-1200]",
            validation="train[-1200:-1000]",
            test="train[-1000:]",
        ),
        sandbox=Sandbox(practice.para_crawl_enes),
        fields=_para_crawl_enes_fields,
        metrics=(bleu,),
        templates=(
            FormatTemplate("{english}\n\nTranslate this into Spanish."),
            FormatTemplate(
                "The following was found on a web page in English. How would it read in "
                "Spanish?\n\n{english}"
            ),
            FormatTemplate(
                "This page is not available in Spanish yet. Supply the missing text.\n\nEnglish "
                "page: {english}"
            ),
            FormatTemplate("On the English site: {english}\nOn the Spanish site:"),
            FormatTemplate(
                "The owners of a website hope for readers in Madrid and Mexico City. Put this "
                "piece of it into Spanish "
                "for them:\n\n{english}"
            ),
            FormatTemplate(
                "My grandmother speaks nothing but Spanish and would like to know what it says "
                "on my screen. "
                "What should I tell her, in her own language?\n\n{english}"
            ),
            FormatTemplate(
                "Act as the button in a browser that turns English pages into Spanish ones. "
                "Return the translation "
                "and nothing else.\n\nInput:\n{english}\n\nOutput:"
            ),
            FormatTemplate(
                "{answer}\n\nA visitor to the website would rather read this in English. Provide "
                "an English version.",
                "{english}",
                turned_around=True,
            ),
            FormatTemplate(
                "In Spanish: {answer}\nThe same in English:",
                "{english}",
                turned_around=True,
            ),
            FormatTemplate(
                "Invent a short text that could stand on a bilingual website. Give it in English "
                "first, and then, "
                "after an empty line, in Spanish.",
                "{english}\n\n{answer}",
                turned_around=True,
            ),
        ),
    )
)


def _wmt14_enfr_fields(row):
    return _text_pair(row, "fr")


WMT14_ENFR = register(
    TemplatedTask(
        name="wmt14_enfr",
        cluster="translation",
        title="WMT'14 English-French",
        source=Tfds(
            "wmt14_translate/fr-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt14_enfr),
        fields=_wmt14_enfr_fields,
        metrics=(bleu,),
        templates=(
            FormatTemplate("{english}\n\nGive the French translation."),
            FormatTemplate("Say the following in French.\n\n{english}"),
            FormatTemplate("Speaker, in English: {english}\nInterpreter, in French:"),
            FormatTemplate(
                "Final examination in translation, English to French. Render the lines below as "
                "accurately as you "
                "can.\n\n{english}"
            ),
            FormatTemplate(
                "I'm writing to a pen friend in Lyon, who doesn't know any English, and I'm "
                "stuck on this part:\n"
                "{english}\nHow can I put it in French?"
            ),
            FormatTemplate(
                "Whatever this office publishes has to appear in English and in French. The "
                "English version is "
                "ready.\n\n{english}\n\nNow draft the French one."
            ),
            FormatTemplate(
                "Source language: English\nTarget language: French\nSource text: {english}\n"
                "Target text:"
            ),
            FormatTemplate(
                "{answer}\n\nI can't read French. What does this mean in English?",
                "{english}",
                turned_around=True,
            ),
            FormatTemplate(
                "An English newspaper quotes a Paris one, but of course in translation.\n"
                "The French words: {answer}\nThe quotation in English:",
                "{english}",
                turned_around=True,
            ),
            FormatTemplate(
                "Contribute an example to a bilingual corpus: first a text in English, then the "
                "same in French. Put "
                "each on a line of its own that starts with the name of the language and a colon.",
                "English: {english}\nFrench: {answer}",
                turned_around=True,
            ),
        ),
    )
)

_WMT16_LANGUAGES = {
    "de": "German",
    "tr": "Turkish",
    "cs": "Czech",
    "fi": "Finnish",
    "ro": "Romanian",
    "ru": "Russian",
}


def _wmt16_fields(row):
    (code,) = (code for code in _WMT16_LANGUAGES if code in row)
    pair = _text_pair(row, code)
    return None if pair is None else pair | {"language": _WMT16_LANGUAGES[code]}


_WMT16_TEMPLATES = (
    FormatTemplate(
        "{english}\n\nTranslate the text above from English into {language}."
    ),
    FormatTemplate("How do you say this in {language}?\n\n{english}"),
    FormatTemplate("English: {english}\n{language}:"),
    FormatTemplate(
        "Please write out in {language} what is written in English below, in full and without "
        "comment.\n\n{english}"
    ),
    FormatTemplate(
        "You are interpreting for a guest who understands only {language}. The host has just "
        "said:\n\n{english}\n\n"
        "What do you tell the guest?"
    ),
    FormatTemplate(
        "A news agency has sent this out on its English wire and now needs it for its {language} "
        "one. Translate "
        "it.\n\n{english}"
    ),
    FormatTemplate(
        "I've been learning {language} for a year, but translating this is still beyond me:\n"
        "{english}\n"
        "Could you show me what it looks like in {language}?"
    ),
    FormatTemplate(
        "{answer}\n\nThis is {language}. What is it in English?",
        "{english}",
        turned_around=True,
    ),
    FormatTemplate(
        "A reader who knows no {language} has come across the following. Let the reader have it in "
        "English.\n\n{answer}",
        "{english}",
        turned_around=True,
    ),
    FormatTemplate(
        "Name the language in which this is written.\n\n{answer}",
        "{language}",
        turned_around=True,
    ),
)

WMT16_TRANSLATE_DEEN = register(
    TemplatedTask(
        name="wmt16_translate_deen",
        cluster="translation",
        title="WMT'16 English-German",
        source=Tfds(
            "wmt16_translate/de-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt16_translate_deen),
        fields=_wmt16_fields,
        metrics=(bleu,),
        templates=_WMT16_TEMPLATES,
        bare=("english",),
    )
)

WMT16_TRANSLATE_TREN = register(
    TemplatedTask(
        name="wmt16_translate_tren",
        cluster="translation",
        title="WMT'16 English-Turkish",
        source=Tfds(
            "wmt16_translate/tr-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt16_translate_tren),
        fields=_wmt16_fields,
        metrics=(bleu,),
        templates=_WMT16_TEMPLATES,
        bare=("english",),
    )
)

WMT16_TRANSLATE_CSEN = register(
    TemplatedTask(
        name="wmt16_translate_csen",
        cluster="translation",
        title="WMT'16 English-Czech",
        source=Tfds(
            "wmt16_translate/cs-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt16_translate_csen),
        fields=_wmt16_fields,
        metrics=(bleu,),
        templates=_WMT16_TEMPLATES,
        bare=("english",),
    )
)

WMT16_TRANSLATE_FIEN = register(
    TemplatedTask(
        name="wmt16_translate_fien",
        cluster="translation",
        title="WMT'16 English-Finnish",
        source=Tfds(
            "wmt16_translate/fi-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt16_translate_fien),
        fields=_wmt16_fields,
        metrics=(bleu,),
        templates=_WMT16_TEMPLATES,
        bare=("english",),
    )
)

WMT16_TRANSLATE_ROEN = register(
    TemplatedTask(
        name="wmt16_translate_roen",
        cluster="translation",
        title="WMT'16 English-Romanian",
        source=Tfds(
            "wmt16_translate/ro-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt16_translate_roen),
        fields=_wmt16_fields,
        metrics=(bleu,),
        templates=_WMT16_TEMPLATES,
        bare=("english",),
    )
)

WMT16_TRANSLATE_RUEN = register(
    TemplatedTask(
        name="wmt16_translate_ruen",
        cluster="translation",
        title="WMT'16 English-Russian",
        source=Tfds(
            "wmt16_translate/ru-en:1.0.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.wmt16_translate_ruen),
        fields=_wmt16_fields,
        metrics=(bleu,),
        templates=_WMT16_TEMPLATES,
        bare=("english",),
    )
)
