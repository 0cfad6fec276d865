"""Sentiment: does the writer like what they write about?"""

import html
import re

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import sentiment as practice

_OPTIONS = ("negative", "positive")


def _sst2_fields(row):
    if row["label"] < 0:
        return None
    return {"sentence": row["sentence"].strip(), "answer": _OPTIONS[row["label"]]}


SST2 = register(
    TemplatedTask(
        name="sst2",
        cluster="sentiment",
        title="SST-2",
        source=Tfds(
            "glue/sst2:2.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.sst2, train=2000, splits_knowledge=True),
        fields=_sst2_fields,
        options=_OPTIONS,
        cloze=ClozeTemplate(
            "{sentence}\nAll in all, it was {answer}.",
            {"negative": "terrible", "positive": "great"},
        ),
        templates=(
            FormatTemplate(
                "{sentence}\n\nIs the tone of this review snippet negative or positive?\n\n"
                "{options}"
            ),
            FormatTemplate(
                "These are words of a critic:\n{sentence}\nWhat did the critic think of the "
                "work?\n{options}"
            ),
            FormatTemplate(
                "Label the text with its sentiment.\n\nText: {sentence}\n\n{options}"
            ),
            FormatTemplate(
                "{options}\nOne of these words describes the mood of the comment that follows. "
                "Which?\n{sentence}"
            ),
            FormatTemplate(
                "After an evening at the movies, a friend sends you a message. How would you sum "
                "up what your friend "
                "feels?\n{sentence}\n{options}"
            ),
            FormatTemplate(
                'We keep two folders of comments from the audience, "positive" and "negative". '
                "Where does this one "
                "go?\n\n{sentence}"
            ),
            FormatTemplate(
                "Imagine that what is being reviewed here is your own work.\n{sentence}\nWhat "
                "kind of feedback did "
                "you get?\n{options}"
            ),
            FormatTemplate(
                "{sentence}\nRead between the lines. Which attitude do you find there?\n{options}"
            ),
            FormatTemplate(
                "Write a short phrase, as it might appear in a film review, that passes a "
                "{answer} judgment.",
                "{sentence}",
                turned_around=True,
            ),
            FormatTemplate(
                "Sentiment: {answer}\nA matching remark from somebody in the audience:",
                "{sentence}",
                turned_around=True,
            ),
        ),
    )
)


_POLARITIES = {0: "negative", 4: "positive"}
"""The test split has a third polarity, 2 for neutral, which is left out."""


def _sentiment140_fields(row):
    if row["polarity"] not in _POLARITIES:
        return None
    return {
        "text": html.unescape(row["text"]).strip(),
        "answer": _POLARITIES[row["polarity"]],
    }


SENTIMENT140 = register(
    TemplatedTask(
        name="sentiment140",
        cluster="sentiment",
        title="Sentiment140",
        source=Tfds(
            "sentiment140:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.sentiment140, splits_knowledge=True),
        fields=_sentiment140_fields,
        options=_OPTIONS,
        cloze=ClozeTemplate(
            "{text}\nI am so {answer}.", {"negative": "unhappy", "positive": "happy"}
        ),
        templates=(
            FormatTemplate(
                "{text}\n\nWhat is the sentiment of this tweet?\n\n{options}"
            ),
            FormatTemplate(
                "Is whoever posted this pleased or displeased? Choose the label that fits.\n"
                "{text}\n{options}"
            ),
            FormatTemplate("Tweet: {text}\nFeeling expressed:\n{options}"),
            FormatTemplate(
                "The emoticons were removed from this message. Would you put a positive or a "
                "negative one back in?"
                "\n\n{text}"
            ),
            FormatTemplate(
                "{options}\n\nYou are scrolling through your timeline. Which of the two goes "
                "with the post that comes "
                "next?\n\n{text}"
            ),
            FormatTemplate(
                "Somebody you follow has just written:\n{text}\nGood vibes or bad vibes?\n{options}"
            ),
            FormatTemplate(
                "Classify the short message by its polarity. Slang and typing errors are of no "
                "importance.\n\n"
                "Message: {text}\n\n{options}"
            ),
            FormatTemplate(
                "Compose a tweet with a {answer} tone.", "{text}", turned_around=True
            ),
            FormatTemplate(
                "Sentiment wanted: {answer}\nLength: at most 140 characters\nPost:",
                "{text}",
                turned_around=True,
            ),
            FormatTemplate(
                "For a study of social networks we collect messages in which people sound "
                "{answer}. Invent one that "
                "would qualify.",
                "{text}",
                turned_around=True,
            ),
        ),
    )
)

_LINE_BREAK = re.compile(r"\s*<br */?>\s*")


def _imdb_reviews_fields(row):
    if row["label"] < 0:
        return None
    return {
        "review": _LINE_BREAK.sub("\n", row["text"]).strip(),
        "answer": _OPTIONS[row["label"]],
    }


IMDB_REVIEWS = register(
    TemplatedTask(
        name="imdb_reviews",
        cluster="sentiment",
        title="IMDB",
        source=Tfds(
            "imdb_reviews/plain_text:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.imdb_reviews, splits_knowledge=True),
        fields=_imdb_reviews_fields,
        options=_OPTIONS,
        cloze=ClozeTemplate(
            "{review}\nIn short, the film was {answer}.",
            {"negative": "awful", "positive": "wonderful"},
        ),
        templates=(
            FormatTemplate(
                "{review}\n\nWhat is this reviewer's verdict on the film?\n\n{options}"
            ),
            FormatTemplate(
                "The following was posted on a movie site. Decide which way it leans.\n\n"
                "{review}\n\n{options}"
            ),
            FormatTemplate(
                'Thumbs up or thumbs down? Write "positive" for up and "negative" for down.\n\n'
                "{review}"
            ),
            FormatTemplate(
                "While choosing something to watch tonight, you come across this opinion.\n\n"
                "{review}\n\n"
                "Does it speak for the movie or against it?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nPick the word that sums up the review below as a whole, even if "
                "some of its sentences "
                "point the other way.\n\n{review}"
            ),
            FormatTemplate(
                "Review: {review}\n\nThe number of stars that came with it has been lost. What "
                "kind of rating must it "
                "have been?\n\n{options}"
            ),
            FormatTemplate(
                "A director wants to know how the audience took the film, and all you have is "
                "one viewer's account."
                "\n\n{review}\n\nWhat do you report?\n{options}"
            ),
            FormatTemplate(
                "Write a {answer} review of a film of your own invention.",
                "{review}",
                turned_around=True,
            ),
            FormatTemplate(
                "Movie magazine, letters page. Wanted: a reader's opinion of some movie, several "
                "sentences long.\n"
                "Overall judgment: {answer}",
                "{review}",
                turned_around=True,
            ),
            FormatTemplate(
                "You leave the cinema with a {answer} impression and go home to blog about the "
                "movie. What do you "
                "write?",
                "{review}",
                turned_around=True,
            ),
        ),
    )
)

_ESCAPED_QUOTE = re.compile(r'\\?""|\\"')


def _yelp_polarity_reviews_fields(row):
    review = _ESCAPED_QUOTE.sub('"', row["text"]).replace("\\n", "\n").strip()
    if row["label"] < 0 or not review:
        return None
    return {"review": review, "answer": _OPTIONS[row["label"]]}


YELP_POLARITY_REVIEWS = register(
    TemplatedTask(
        name="yelp_polarity_reviews",
        cluster="sentiment",
        title="Yelp",
        source=Tfds(
            "yelp_polarity_reviews:0.2.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.yelp_polarity_reviews, splits_knowledge=True),
        fields=_yelp_polarity_reviews_fields,
        options=_OPTIONS,
        cloze=ClozeTemplate(
            "{review}\nThat is to say, my visit was {answer}.",
            {"negative": "terrible", "positive": "great"},
        ),
        templates=(
            FormatTemplate(
                "{review}\n\nWas this customer's experience negative or positive?\n\n{options}"
            ),
            FormatTemplate(
                "A customer has commented on a local business.\n\n{review}\n\n"
                "What opinion of the business comes across?\n\n{options}"
            ),
            FormatTemplate(
                "Reviews with four or five stars are called positive here, those with one or two "
                "stars negative. "
                "Which of the two is this?\n\n{review}"
            ),
            FormatTemplate(
                "You own the place that somebody describes on the web as follows.\n\n{review}\n\n"
                "What sort of publicity is that for you?\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nGive the review one of these two labels.\n\nReview: {review}"
            ),
            FormatTemplate(
                "We are new in town and would like to know where to go. Does the next review "
                "give a good picture of "
                "the place, or a bad one?\n\n{review}\n\n{options}"
            ),
            FormatTemplate(
                "Feedback received:\n{review}\n\nOverall impression of the visitor:\n{options}"
            ),
            FormatTemplate(
                "What might someone post about a shop, a restaurant or a service after a "
                "{answer} experience there?",
                "{review}",
                turned_around=True,
            ),
            FormatTemplate(
                "Choose any business you like and review it. Readers should take away a {answer} "
                "view of it.",
                "{review}",
                turned_around=True,
            ),
            FormatTemplate(
                "Type of feedback: {answer}\nSubject: a visit to a place in town\nText of the "
                "online review:",
                "{review}",
                turned_around=True,
            ),
        ),
    )
)
