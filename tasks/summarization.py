"""Summarization: what a text says in short, as a summary, a headline, a claim or a topic."""

import html
import re

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.metrics import rouge
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import summarization as practice


def _one_line(text):
    return " ".join(text.split())


_TAG = re.compile(r"</?[A-Za-z][^<>\n]*>")


def _without_markup(text):
    return _one_line(_TAG.sub("", html.unescape(text)))


def _aeslc_fields(row):
    email, subject = _one_line(row["email_body"]), _one_line(row["subject_line"])
    return {"email": email, "answer": subject} if email and subject else None


AESLC = register(
    TemplatedTask(
        name="aeslc",
        cluster="summarization",
        title="AESLC",
        source=Tfds(
            "aeslc:1.0.0", train="train", validation="validation[-200:]", test="test"
        ),
        sandbox=Sandbox(practice.aeslc),
        fields=_aeslc_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate("{email}\n\nWrite a subject line for this email."),
            FormatTemplate(
                "What would you enter in the subject field before sending this message?\n\n{email}"
            ),
            FormatTemplate(
                "The mail below arrived without a subject. Give it one by which its reader will "
                "find it again.\n\n"
                "{email}"
            ),
            FormatTemplate("Fill in the blank.\n\nSubject: ____\n\n{email}"),
            FormatTemplate(
                "As secretary to a busy director, you write on every message, in a few words, "
                "what it concerns. "
                "The next one reads:\n\n{email}\n\nYour note:"
            ),
            FormatTemplate(
                "My boss reads nothing but subject lines. Find me one that gets the point of "
                "this email "
                "across.\n\n{email}"
            ),
            FormatTemplate("Email: {email}\nSubject:"),
            FormatTemplate(
                "{email}\n\nThe inbox lists this email under one short line, which its sender "
                "typed above the message. "
                "What do you think the line says?"
            ),
            FormatTemplate(
                "Write an email to go with this subject line: {answer}",
                "{email}",
                turned_around=True,
            ),
            FormatTemplate(
                "All I can see of a message on my phone is what it is about:\n{answer}\n"
                "Imagine the message itself and write it out for me.",
                "{email}",
                turned_around=True,
            ),
        ),
    )
)


_BYLINE = re.compile(
    r"(?:By\b)?.{0,200}(?:PUBLISHED|UPDATED|Last updated)\b.{0,40}? 20\d\d ?\. "
)
"""By. Jo Doe. PUBLISHED:. 06:29 EST, 3 May 2013. |. UPDATED:. 08:46 EST, 3 May 2013."""
_DATELINE = re.compile(
    r"(?:[A-Z][\w.'-]*,? ){0,8}(?:\([^()]{1,40}\) ?--|\(CNN\))|[A-Z]{2}[A-Z. ]*(?:, [A-Z]\w+(?: "
    r"[A-Z]\w+)*)? --"
)
"""LONDON, England (CNN) -- or less of it."""


def _without_dateline(article):
    for opening in (_BYLINE, _DATELINE):
        if match := opening.match(article):
            article = article[match.end() :].lstrip(" -–—")
    return article


def _cnn_dailymail_fields(row):
    article, highlights = (
        _without_dateline(row["article"].strip()),
        _one_line(row["highlights"]),
    )
    return (
        {"article": article, "answer": highlights} if article and highlights else None
    )


CNN_DAILYMAIL = register(
    TemplatedTask(
        name="cnn_dailymail",
        cluster="summarization",
        title="CNN/DailyMail",
        source=Tfds(
            "cnn_dailymail:3.4.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.cnn_dailymail, numbered=("id",)),
        fields=_cnn_dailymail_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate("{article}\n\nSum up this news article in a few sentences."),
            FormatTemplate(
                "Some news sites print highlights above each story: three or four short "
                "sentences that hold all you "
                "need to know. What are the highlights of this story?\n\n{article}"
            ),
            FormatTemplate("Article: {article}\n\nKey points:"),
            FormatTemplate(
                "You present the evening news and have fifteen seconds for the report below. "
                "What will you say?\n\n"
                "{article}"
            ),
            FormatTemplate(
                "I won't get around to reading all of this. Could you tell me the most important "
                "things in it, in a few "
                "plain sentences?\n\n{article}"
            ),
            FormatTemplate(
                "{article}\n\nNow close the newspaper and retell, in the order of the article, "
                "the main facts that you "
                "have just learned. Keep it short, and leave out quotes and side issues."
            ),
            FormatTemplate(
                "Reading test.\n\n{article}\n\nTask: write a synopsis of the article. Do not add "
                "any opinion of your own."
            ),
            FormatTemplate(
                "Highlights: {answer}\n\nWrite the news article that these highlights were taken "
                "from.",
                "{article}",
                turned_around=True,
            ),
            FormatTemplate(
                "A reporter phones the newsroom and dictates the following.\n\n{answer}\n\n"
                "You are on the desk. Turn it into a full story for tomorrow's paper.",
                "{article}",
                turned_around=True,
            ),
            FormatTemplate(
                "Report at length on the events that are told here in brief. You may invent what "
                "is missing.\n\n{answer}",
                "{article}",
                turned_around=True,
            ),
        ),
    )
)


def _gigaword_fields(row):
    text, summary = row["document"].strip(), row["summary"].strip()
    if not text or not summary or any(gap in text + summary for gap in ("UNK", "#")):
        return None
    return {"text": text, "answer": summary}


GIGAWORD = register(
    TemplatedTask(
        name="gigaword",
        cluster="summarization",
        title="Gigaword",
        source=Tfds(
            "gigaword:1.2.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.gigaword),
        fields=_gigaword_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{text}\n\nThis is how a news story begins. What is its headline?"
            ),
            FormatTemplate("Shorten the sentence to a headline.\n{text}"),
            FormatTemplate("first sentence: {text}\nheadline:"),
            FormatTemplate(
                "The news ticker above the square has room for about eight words. Fit this in:\n"
                "\n{text}"
            ),
            FormatTemplate(
                "{text}\n\nHow would a newspaper put that in large print above the story?"
            ),
            FormatTemplate(
                "Training for copy editors, exercise 1. Put a headline on the report that opens "
                "as follows, in lower "
                "case and without a final period.\n\nOpening: {text}\nYour headline:"
            ),
            FormatTemplate(
                "Telegrams used to be paid for by the word. You want to send a friend this news "
                "as cheaply as you can:\n\n"
                "{text}\n\nHow will you word the telegram?"
            ),
            FormatTemplate(
                "A reader clicked on a link in a list of headlines and came to a page that opens "
                "with this line. "
                "What did the link say?\n\n{text}"
            ),
            FormatTemplate(
                "Headline: {answer}\nGo on with the first sentence of the report.",
                "{text}",
                turned_around=True,
            ),
            FormatTemplate(
                "Make one full sentence of these few words, with the details that a news agency "
                "would give: {answer}",
                "{text}",
                turned_around=True,
            ),
        ),
    )
)


def _lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def _multi_news_fields(row):
    reports = ["\n".join(_lines(report)) for report in row["document"].split("|||||")]
    # the summaries begin with a dash, as they do on the site that they come from
    articles, summary = (
        "\n\n".join(report for report in reports if report),
        row["summary"].strip().lstrip("–- "),
    )
    return {"articles": articles, "answer": summary} if articles and summary else None


MULTI_NEWS = register(
    TemplatedTask(
        name="multi_news",
        cluster="summarization",
        title="Multi-News",
        source=Tfds(
            "multi_news:2.1.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(practice.multi_news),
        fields=_multi_news_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{articles}\n\nWrite a single summary of all the reports above."
            ),
            FormatTemplate(
                "Several newspapers cover the same story here. Combine what they say into a "
                "summary.\n\n{articles}"
            ),
            FormatTemplate(
                "What happened, according to these sources? Answer with a paragraph, not with a "
                "list.\n\n{articles}"
            ),
            FormatTemplate(
                "Below is the press coverage of one matter. Write a digest of it that mentions "
                "each important detail "
                "once, no matter how many of the reports have it.\n\n{articles}"
            ),
            FormatTemplate(
                "{articles}\n\nA friend of yours comes back from a long hike and has heard "
                "nothing of this. "
                "Tell the whole story in one go."
            ),
            FormatTemplate(
                "PRESS CLIPPINGS\n\n{articles}\n\nOVERVIEW OF THE CLIPPINGS"
            ),
            FormatTemplate(
                "You work for a media monitoring service. A client wants to know what is being "
                "written about a certain "
                "subject, and this is what you have collected:\n\n{articles}\n\nWrite the "
                "briefing for the client."
            ),
            FormatTemplate(
                "Read everything that follows before you begin to write, since some facts may be "
                "found in one text only. "
                "Then bring the facts together in a short account.\n\n{articles}"
            ),
            FormatTemplate(
                "{answer}\n\nThat is the sum of what various media have reported. Write the "
                "reports, one after the "
                "other.",
                "{articles}",
                turned_around=True,
            ),
            FormatTemplate(
                "Given only an overview of the news, reconstruct the articles behind it.\n\n"
                "Overview: {answer}\n\n"
                "Articles:",
                "{articles}",
                turned_around=True,
            ),
        ),
    )
)


def _newsroom_fields(row):
    fields = {
        "title": _one_line(row["title"]),
        "text": row["text"].strip(),
        "answer": _one_line(row["summary"]),
    }
    return fields if all(fields.values()) else None


NEWSROOM = register(
    TemplatedTask(
        name="newsroom",
        cluster="summarization",
        title="Newsroom",
        source=Tfds(
            "newsroom:1.0.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.newsroom),
        fields=_newsroom_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{title}\n\n{text}\n\nIn a sentence or two, what does this article say?"
            ),
            FormatTemplate(
                "{text}\n\nWrite the short description that a search engine would display under "
                "the link to this page."
            ),
            FormatTemplate(
                "Headline: {title}\nStory: {text}\nTeaser of one or two sentences:"
            ),
            FormatTemplate(
                "Condense the text to its core. The title under which it appeared may guide "
                "you.\n\n"
                "Title: {title}\n\nText: {text}"
            ),
            FormatTemplate(
                "A newsletter links to stories that are worth reading and says in a line or two "
                "what each is about. "
                "What should it say about this one?\n\n{title}\n{text}"
            ),
            FormatTemplate(
                "Give me the substance of the following. Be as brief as you can, but use whole "
                "sentences.\n\n{text}"
            ),
            FormatTemplate(
                "An archive keeps a card for every article. The front has the title, the back "
                "has a very short summary."
                "\n\nFront: {title}\n\nThe article itself: {text}\n\nBack:"
            ),
            FormatTemplate(
                "{text}\n\nWhat title would you print above this article?",
                "{title}",
                turned_around=True,
            ),
            FormatTemplate(
                "An article, boiled down, says this:\n\n{answer}\n\nSuggest a title for it.",
                "{title}",
                turned_around=True,
            ),
            FormatTemplate(
                "The title is fixed: {title}\nSo is the gist: {answer}\nOnly the article is "
                "missing. Write it.",
                "{text}",
                turned_around=True,
            ),
        ),
    )
)


def _first_ten(opinions):
    """Numbered, one per line."""
    texts = [text for text in map(_without_markup, opinions["value"]) if text]
    return "\n".join(
        f"{number}. {text}" for number, text in enumerate(texts[:10], start=1)
    )


def _rotten_tomatoes_fields(row):
    movie, consensus = (
        _without_markup(row["_movie_name"]),
        _without_markup(row["_critic_consensus"]),
    )
    reviews = _first_ten(row["_critics"])
    return (
        {"movie": movie, "reviews": reviews, "answer": consensus}
        if movie and reviews and consensus
        else None
    )


OPINION_ABSTRACTS_ROTTEN_TOMATOES = register(
    TemplatedTask(
        name="opinion_abstracts_rotten_tomatoes",
        cluster="summarization",
        title="Opinion Abstracts (Rotten Tomatoes)",
        source=Tfds(
            "opinion_abstracts/rotten_tomatoes:1.0.0",
            train="train[:-600]",
            validation="train[-600:-500]",
            test="train[-500:]",
        ),
        sandbox=Sandbox(
            practice.opinion_abstracts_rotten_tomatoes,
            validation=100,
            numbered=("_movie_id",),
            splits_knowledge=True,
        ),
        fields=_rotten_tomatoes_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "Movie: {movie}\n\nReviews:\n{reviews}\n\nSum up in one sentence what the "
                "critics think."
            ),
            FormatTemplate(
                "{reviews}\n\nThese reviewers all saw the same film. Write a one-sentence "
                "verdict that most of them "
                "would sign."
            ),
            FormatTemplate(
                "Tonight they are showing {movie}\nShould I go? I have found some reviews, but "
                "tell me in a sentence "
                "what it all comes down to.\n{reviews}"
            ),
            FormatTemplate(
                "Press reviews of {movie}\n\n{reviews}\n\nCritics' consensus:"
            ),
            FormatTemplate(
                "A film magazine prints a single line under each title, in which it blends the "
                "opinions of all critics. "
                "Using the opinions below, write the line for this title: {movie}\n\n{reviews}"
            ),
            FormatTemplate(
                "Critics seldom agree on everything. Find the common ground in these remarks and "
                "state it in one "
                "sentence, along with the main reservation if there is one.\n\n{reviews}"
            ),
            FormatTemplate(
                "{reviews}\n\nA cinema wants to put one honest sentence about the film on its "
                "website, based on what "
                "these critics say. What should the sentence be?"
            ),
            FormatTemplate(
                "Film: {movie}\nWhat critics agreed on: {answer}\n\n"
                "Quote some of their reviews in a numbered list, one per line and no more than "
                "ten.",
                "{reviews}",
                turned_around=True,
            ),
            FormatTemplate(
                "Make up a few lines from reviews of one movie, each with a number in front. "
                "Taken together they should "
                "justify the following summary.\n\n{answer}",
                "{reviews}",
                turned_around=True,
            ),
            FormatTemplate(
                "Which movie is this about? Give its title, or make a guess if nobody mentions "
                "it.\n\n{reviews}\n\n"
                "The general opinion: {answer}",
                "{movie}",
                turned_around=True,
            ),
        ),
    )
)


def _idebate_fields(row):
    debate, claim = _without_markup(row["_debate_name"]), _without_markup(row["_claim"])
    arguments = _first_ten(row["_argument_sentences"])
    return (
        {"debate": debate, "arguments": arguments, "answer": claim}
        if debate and arguments and claim
        else None
    )


OPINION_ABSTRACTS_IDEBATE = register(
    TemplatedTask(
        name="opinion_abstracts_idebate",
        cluster="summarization",
        title="Opinion Abstracts (iDebate)",
        source=Tfds(
            "opinion_abstracts/idebate:1.0.0",
            train="train[:-600]",
            validation="train[-600:-500]",
            test="train[-500:]",
        ),
        sandbox=Sandbox(
            practice.opinion_abstracts_idebate,
            train=1650,
            validation=100,
            numbered=("_claim_id",),
        ),
        fields=_idebate_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "Debate: {debate}\n\nArguments:\n{arguments}\n\nWhich claim do they support? "
                "State it in a sentence."
            ),
            FormatTemplate("Premises:\n{arguments}\n\nConclusion:"),
            FormatTemplate(
                "You keep the minutes of a debate and enter each speech as a single point. The "
                "motion is this: {debate}\n"
                "The present speaker says:\n{arguments}\nWhat do you enter?"
            ),
            FormatTemplate(
                "{arguments}\n\nAll of these sentences are driving at the same thing. Say "
                "plainly what it is, in one "
                "sentence of your own."
            ),
            FormatTemplate(
                "My notes have the reasons but not the thesis. Can you help me recover it?\n\n"
                "Reasons:\n{arguments}\n\n"
                "Topic of the discussion: {debate}\nThesis:"
            ),
            FormatTemplate(
                "In logic class, students are given some evidence and must name the claim that "
                "it is meant to prove. "
                "Evidence from the debate below has been handed out. Do the exercise.\n\n"
                "{debate}\n\n{arguments}"
            ),
            FormatTemplate(
                "Boil the following contribution to a debate down to the one assertion on which "
                "it rests.\n{arguments}"
            ),
            FormatTemplate(
                "Debate: {debate}\nClaim: {answer}\n\nBack the claim up with arguments, numbered "
                "and one per line.",
                "{arguments}",
                turned_around=True,
            ),
            FormatTemplate(
                "Here is somebody's opinion.\n{answer}\nWhy might a person think so? List the "
                "reasons and number them.",
                "{arguments}",
                turned_around=True,
            ),
            FormatTemplate(
                "One side in a debate maintains the following.\n{answer}\nThis is what it says "
                "in support:\n{arguments}\n"
                "Under what title, do you suppose, was the debate announced?",
                "{debate}",
                turned_around=True,
            ),
        ),
    )
)


def _samsum_fields(row):
    dialogue = "\n".join(map(_one_line, _lines(_TAG.sub(" ", row["dialogue"]))))
    summary = _one_line(row["summary"])
    return {"dialogue": dialogue, "answer": summary} if dialogue and summary else None


SAMSUM = register(
    TemplatedTask(
        name="samsum",
        cluster="summarization",
        title="SAMSum",
        source=Tfds(
            "samsum:1.0.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.samsum, numbered=("id",)),
        fields=_samsum_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate("{dialogue}\n\nBriefly summarize this conversation."),
            FormatTemplate(
                "What is going on in this chat? Explain it in a sentence or two.\n\n{dialogue}"
            ),
            FormatTemplate("Messages:\n{dialogue}\n\nIn short:"),
            FormatTemplate(
                "Retell the exchange below in the third person, without quoting anyone and as "
                "concisely as you can."
                "\n\n{dialogue}"
            ),
            FormatTemplate(
                "I just found these messages on our family's tablet and am too tired to go "
                "through them. "
                "What did I miss?\n\n{dialogue}\n\nJust the outcome, please, in a line or two."
            ),
            FormatTemplate(
                "Who is talking here, what about, and with what result? Put your answer in "
                "ordinary prose, not in "
                "keywords.\n\n{dialogue}"
            ),
            FormatTemplate(
                "A messaging app offers to condense unread chats so that its users can skip "
                "them. Show what it should "
                "display in place of this one.\n\n{dialogue}"
            ),
            FormatTemplate(
                "Write a chat between friends that could be summed up like this: {answer}",
                "{dialogue}",
                turned_around=True,
            ),
            FormatTemplate(
                "{answer}\n\nNow show me the messages themselves, each on a new line after the "
                "name of its sender.",
                "{dialogue}",
                turned_around=True,
            ),
            FormatTemplate(
                "For a play whose characters do nothing but text each other, one scene is still "
                "missing. "
                "The author has left us an outline of it.\n\nOutline: {answer}\nScene:",
                "{dialogue}",
                turned_around=True,
            ),
        ),
    )
)


def _xsum_fields(row):
    article, summary = row["document"].strip(), row["summary"].strip()
    return {"article": article, "answer": summary} if article and summary else None


XSUM = register(
    TemplatedTask(
        name="xsum",
        cluster="summarization",
        title="XSum",
        source=Tfds(
            "xsum:1.1.0", train="train", validation="validation[:200]", test="test"
        ),
        sandbox=Sandbox(practice.xsum),
        fields=_xsum_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{article}\n\nGive a one-sentence summary of this news article."
            ),
            FormatTemplate(
                "The first sentence of this article, which told readers all the news at a "
                "glance, has been lost. "
                "Replace it.\n\n{article}"
            ),
            FormatTemplate("{article}\n\nTL;DR (one sentence):"),
            FormatTemplate(
                "If you were allowed a single sentence to pass on what is reported below, what "
                "would you say?\n\n{article}"
            ),
            FormatTemplate(
                "Never mind the details. What is the actual news in this piece? Your reply "
                "should be one complete "
                "sentence.\n\n{article}"
            ),
            FormatTemplate("News story: {article}\n\nThe same in a single sentence:"),
            FormatTemplate(
                "At the top of the hour a radio station reads out one sentence on each story of "
                "the day. "
                "Prepare the sentence on this story.\n\n{article}"
            ),
            FormatTemplate(
                "{article}\n\nYou have just read this, and a colleague looks up from another "
                "desk to ask what it is "
                "about. What do you answer? One sentence has to be enough."
            ),
            FormatTemplate(
                "The sentence below opens a news article. Write the rest of the article.\n\n"
                "{answer}",
                "{article}",
                turned_around=True,
            ),
            FormatTemplate(
                "Somebody has squeezed a long report into the line below. What might it have "
                "looked like in full? "
                "Write it out.\n\n{answer}",
                "{article}",
                turned_around=True,
            ),
        ),
    )
)


_AG_NEWS_OPTIONS = ("World", "Sports", "Business", "Science/Tech")
_ENTITY = re.compile(r" (#\d+|quot|amp|lt|gt|nbsp);")


def _ag_news_text(text):
    """Mends raw texts, which have " " for the "&" of entities and a backslash for a line break."""
    text = text.replace("\\$", "$").replace("\\", " ")
    return _without_markup(_ENTITY.sub(r"&\1;", f" {text}"))


def _ag_news_subset_fields(row):
    title, text = _ag_news_text(row["title"]), _ag_news_text(row["description"])
    if row["label"] < 0 or not title or not text:
        return None
    return {"title": title, "text": text, "answer": _AG_NEWS_OPTIONS[row["label"]]}


AG_NEWS_SUBSET = register(
    TemplatedTask(
        name="ag_news_subset",
        cluster="summarization",
        title="AG News",
        source=Tfds(
            "ag_news_subset:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.ag_news_subset),
        fields=_ag_news_subset_fields,
        options=_AG_NEWS_OPTIONS,
        cloze=ClozeTemplate(
            "{title}\n{text}\nThis was in the part of the paper on {answer}.",
            {
                "World": "the world",
                "Sports": "sports",
                "Business": "business",
                "Science/Tech": "science and technology",
            },
        ),
        templates=(
            FormatTemplate(
                "{title}\n\n{text}\n\nWhat is the topic of this news item?\n\n{options}"
            ),
            FormatTemplate(
                "In which section of the newspaper would you look for this?\nHeadline: {title}\n"
                "Story: {text}\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nTag the text with the one label that suits it best.\n\n{text}"
            ),
            FormatTemplate(
                "All that you can read from here is the headline:\n{title}\nWhat sort of news is "
                "it?\n{options}"
            ),
            FormatTemplate(
                "Four editors share a desk, and each of them looks after one subject. A wire "
                "report comes in. Under "
                "whose subject does it fall?\n\n{title}\n{text}\n\n{options}"
            ),
            FormatTemplate(
                "{text}\n\nAre we talking about the affairs of nations, about games, about money "
                "or about research "
                "and gadgets?\n\n{options}"
            ),
            FormatTemplate(
                "Item: {title}\nDetails: {text}\nPossible categories are listed here.\n"
                "{options}\nCategory:"
            ),
            FormatTemplate(
                "A news app lets people choose what they want to hear about.\n{options}\n"
                "Under which of their choices should the app send out this story?\n{title}\n{text}"
            ),
            FormatTemplate(
                "{text}\n\nThat was filed under {answer}. It still lacks a headline. Write one.",
                "{title}",
                turned_around=True,
            ),
            FormatTemplate(
                "Make up a headline such as you might see on the {answer} page of a news site.",
                "{title}",
                turned_around=True,
            ),
        ),
    )
)


def _wiki_lingua_fields(row):
    guide, summary = row["source"].strip(), row["target"].strip()
    return {"guide": guide, "answer": summary} if guide and summary else None


WIKI_LINGUA_ENGLISH_EN = register(
    TemplatedTask(
        name="wiki_lingua_english_en",
        cluster="summarization",
        title="WikiLingua (English)",
        source=Tfds(
            "gem/wiki_lingua_english_en:1.1.0",
            train="train",
            validation="validation[:200]",
            test="test",
        ),
        sandbox=Sandbox(
            practice.wiki_lingua_english_en, numbered=("gem_id", "gem_parent_id")
        ),
        fields=_wiki_lingua_fields,
        metrics=(rouge,),
        templates=(
            FormatTemplate(
                "{guide}\n\nState the steps of this guide in brief, one short sentence for each."
            ),
            FormatTemplate(
                "Reduce the following how-to text to bare instructions.\n\n{guide}"
            ),
            FormatTemplate(
                "Each passage of the advice below explains one thing to do. Name those things in "
                "the same order and "
                "leave out the explanations.\n\n{guide}"
            ),
            FormatTemplate("Long version: {guide}\n\nShort version:"),
            FormatTemplate(
                "My hands are full, so just call out to me what I have to do next, step by step. "
                "The manual says:\n\n{guide}"
            ),
            FormatTemplate(
                "{guide}\n\nIn the printed book, every step is headed by a command in bold type. "
                "Write the commands "
                "one after another, as sentences."
            ),
            FormatTemplate(
                "What does the author tell readers to do here? Answer as the author would, in "
                "the imperative, but without "
                "giving reasons.\n\n{guide}"
            ),
            FormatTemplate(
                "A poster has room for the essence of these directions and no more. Decide on "
                "its wording.\n\n{guide}"
            ),
            FormatTemplate(
                "Explain at more length how to do this, so that a beginner understands every "
                "step.\n\n{answer}",
                "{guide}",
                turned_around=True,
            ),
            FormatTemplate(
                "Headings of the steps in a how-to article: {answer}\n\n"
                "Write the article, but without repeating the headings.",
                "{guide}",
                turned_around=True,
            ),
        ),
    )
)
