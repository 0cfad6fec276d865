"""Commonsense: which of the given causes, actions, next steps or endings makes sense?"""

import re

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import commonsense as practice


def _copa_fields(row):
    if row["label"] not in (0, 1):
        return None
    premise = row["premise"].strip()
    choices = (row["choice1"].strip(), row["choice2"].strip())
    return {
        "premise": premise,
        "question": row["question"],
        "opening": premise.rstrip(".")
        + (" because" if row["question"] == "cause" else ", so"),
        "choices": choices,
        "answer": choices[row["label"]],
    }


COPA = register(
    TemplatedTask(
        name="copa",
        cluster="commonsense",
        title="COPA",
        source=Tfds(
            "super_glue/copa:1.0.2",
            train="train[:-50]",
            validation="train[-50:]",
            test="validation",
        ),
        sandbox=Sandbox(
            practice.copa, train=1500, validation=50, splits_knowledge=True
        ),
        fields=_copa_fields,
        options="choices",
        cloze=ClozeTemplate("{opening} {answer}"),
        premise=("premise", "opening"),
        templates=(
            FormatTemplate(
                "{premise}\n\nWhat was the {question} of this?\n\n{options}"
            ),
            FormatTemplate(
                "Finish the sentence in the way that makes more sense.\n\n{opening}\n\n{options}"
            ),
            FormatTemplate(
                "Somebody remarks: {premise}\nYou try to guess the {question}. Which of these do "
                "you say?\n{options}"
            ),
            FormatTemplate(
                "{options}\nWhich of the two is the more plausible {question} of the following? "
                "{premise}"
            ),
            FormatTemplate(
                "From a detective's notebook.\nKnown: {premise}\nWanted: the {question}\n{options}"
            ),
            FormatTemplate(
                "Here is one half of a very short story.\n{premise}\nThe other half tells the "
                "{question}. "
                "Which sentence is it?\n{options}"
            ),
            FormatTemplate(
                "Use common sense. One option is a believable {question} of what happens here, "
                "the other is not.\n"
                "{premise}\n{options}"
            ),
            FormatTemplate(
                'A child hears "{premise}" and wants to know the {question}. What do you reply?\n'
                "{options}"
            ),
            FormatTemplate(
                "{answer}\nThis is the {question} of some event. Describe the event in one "
                "sentence.",
                "{premise}",
                turned_around=True,
            ),
            FormatTemplate(
                "Write two sentences about everyday life. The second one should be the "
                "{question} of the first.",
                "{premise} {answer}",
                turned_around=True,
            ),
        ),
    )
)

_HEADER = re.compile(r"\[header\]\s*")
_MARKER = re.compile(r"\s*\[[^\[\]]*\]\s*")


def _hellaswag_fields(row):
    if row["label"] not in range(len(row["endings"])):
        return None
    context = _MARKER.sub("\n", _HEADER.sub("", row["context"])).strip()
    endings = tuple(_MARKER.sub(" ", ending).strip() for ending in row["endings"])
    if not context or not all(endings):
        return None
    return {"context": context, "endings": endings, "answer": endings[row["label"]]}


HELLASWAG = register(
    TemplatedTask(
        name="hellaswag",
        cluster="commonsense",
        title="HellaSwag",
        source=Tfds(
            "hellaswag:1.1.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.hellaswag, numbered=(), splits_knowledge=True),
        fields=_hellaswag_fields,
        options="endings",
        cloze=ClozeTemplate("{context} {answer}"),
        premise=("context",),
        templates=(
            FormatTemplate("{context}\n\nHow does this go on?\n\n{options}"),
            FormatTemplate(
                "A video caption, or perhaps a page of a guide, breaks off here.\n\n{context}\n\n"
                "Which of these is the part that was lost?\n\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nOnly one of these can sensibly be added to the text below. Which "
                "one?\n\n{context}"
            ),
            FormatTemplate(
                "A writing program has come up with four continuations. Three of them make "
                "little sense. Keep the good "
                "one.\n\nWritten so far: {context}\n\n{options}"
            ),
            FormatTemplate(
                "Picture what is described here, then say what is most likely to come next.\n"
                "{context}\n{options}"
            ),
            FormatTemplate(
                "I dozed off while somebody was reading to me, and this is all I remember.\n"
                "{context}\n\n"
                "What did I miss?\n{options}"
            ),
            FormatTemplate(
                "Incomplete text: {context}\n\n{options}\n\nRemaining part:"
            ),
            FormatTemplate(
                "Test of general understanding, section 2\nEach passage stops too early. Mark "
                "the option that "
                "completes it.\n\n{context}\n\n{options}"
            ),
            FormatTemplate(
                "You are restoring a damaged transcript. First comes what is still legible, then "
                "the candidates for "
                "what stood after it.\n\n{context}\n\n{options}\n\nWhich candidate do you put in?"
            ),
            FormatTemplate(
                "{context}\n\nContinue from the last word, in keeping with everything that has "
                "been said. You have the "
                "choice of these.\n{options}"
            ),
        ),
    )
)


def _piqa_fields(row):
    goal = row["goal"].strip()
    if row["label"] not in (0, 1) or not goal:
        return None
    solutions = (row["sol1"].strip(), row["sol2"].strip())
    if not all(solutions):
        return None
    return {"goal": goal, "solutions": solutions, "answer": solutions[row["label"]]}


PIQA = register(
    TemplatedTask(
        name="piqa",
        cluster="commonsense",
        title="PIQA",
        source=Tfds(
            "piqa:1.0.0",
            train="train[:-100]",
            validation="train[-100:]",
            test="validation",
        ),
        sandbox=Sandbox(
            practice.piqa, validation=100, numbered=("id",), splits_knowledge=True
        ),
        fields=_piqa_fields,
        options="solutions",
        cloze=ClozeTemplate("{goal} {answer}"),
        premise=("goal",),
        templates=(
            FormatTemplate("{goal}\n\nWhich of these would work?\n\n{options}"),
            FormatTemplate(
                "Goal: {goal}\nWhich of the following plans reaches the goal in the real world?\n"
                "{options}"
            ),
            FormatTemplate(
                "{options}\n\nOne of these is good advice, the other is bad. Which would you "
                "give to somebody who "
                "comes to you with this?\n{goal}"
            ),
            FormatTemplate(
                "A reader writes to a household magazine:\n{goal}\nWhich reply should it print?\n"
                "{options}"
            ),
            FormatTemplate(
                "My roommate tried one way and I tried the other. Mine was the clever one.\n\n"
                "The job: {goal}\n\nWhich way was mine?\n{options}"
            ),
            FormatTemplate(
                "Consider what the tools and materials are like and how they behave. Then pick "
                "the method that makes "
                "sense.\n\n{goal}\n\n{options}"
            ),
            FormatTemplate(
                "A robot can run either of two programs, but it knows nothing about the physical "
                "world. Select the "
                "program that gives its owner what is wanted.\n\nOwner: {goal}\n{options}"
            ),
            FormatTemplate("Tip of the day\n{goal}\n{options}\nTip to print:"),
            FormatTemplate(
                "Somebody was given this advice.\n\n{answer}\n\nWhat did they want to do or to "
                "know?",
                "{goal}",
                turned_around=True,
            ),
            FormatTemplate(
                "{options}\n\nThese two ideas were meant for the same purpose, and one turned "
                "out to be the better: "
                "{answer}\nWhat was the purpose?",
                "{goal}",
                turned_around=True,
            ),
        ),
    )
)


def _story_cloze_fields(row):
    if row["label"] not in (1, 2):
        return None
    endings = tuple(ending.strip() for ending in row["endings"])
    return {
        "context": row["context"].strip(),
        "endings": endings,
        "answer": endings[row["label"] - 1],
    }


STORY_CLOZE = register(
    TemplatedTask(
        name="story_cloze",
        cluster="commonsense",
        title="StoryCloze",
        source=Tfds(
            "story_cloze/2016:1.0.0",
            train="validation[:-200]",
            validation="validation[-200:]",
            test="test",
        ),
        sandbox=Sandbox(practice.story_cloze, train=1670, splits_knowledge=True),
        fields=_story_cloze_fields,
        options="endings",
        cloze=ClozeTemplate("{context} {answer}"),
        premise=("context",),
        templates=(
            FormatTemplate("{context}\n\nHow does the story end?\n\n{options}"),
            FormatTemplate(
                "A story has five sentences. These are the first four.\n\n{context}\n\nWhich is "
                "the fifth?\n\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nOne of these two endings would leave the readers of the story "
                "below puzzled. "
                "Choose the other one.\n\n{context}"
            ),
            FormatTemplate(
                "A teacher is reading to her class.\n{context}\n"
                "One pupil knows the last sentence by heart and says it before she can. What "
                "does the pupil "
                "say?\n{options}"
            ),
            FormatTemplate(
                "Creative writing class, comments on your homework\n\nYour text: {context}\n\n"
                "It lacks a conclusion. The better one of these would be:\n{options}"
            ),
            FormatTemplate(
                "The film is almost over, and so far we have seen this.\n{context}\nWhat is the "
                "final scene?\n{options}"
            ),
            FormatTemplate(
                "Think of how people usually act and feel, and select the outcome that is more "
                "natural.\n\n"
                "Events: {context}\n\n{options}"
            ),
            FormatTemplate(
                "A friend told me something over the phone, but then the line went dead.\n"
                "{context}\n"
                "I have two guesses about what came after that. Which is the better one?\n{options}"
            ),
            FormatTemplate(
                "Tell a story, five sentences in all, that ends like this:\n{answer}",
                "{context} {answer}",
                turned_around=True,
            ),
            FormatTemplate(
                "{options}\n\nWrite a story of five sentences about ordinary people. Let it "
                "close with one of the two "
                "above, and see to it that the other would be out of place there.",
                "{context} {answer}",
                turned_around=True,
            ),
        ),
    )
)
