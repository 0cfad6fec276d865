"""Natural language inference: does one text follow from another?"""

from flan_jax.data.sandbox import Sandbox, clause
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _rte_fields(row):
    return {"premise": row["premise"], "hypothesis": row["hypothesis"], "answer": ("yes", "no")[row["label"]]}


def _rte_practice(world, rng):
    fact = world.fact(rng)
    shown = [fact.say(rng.randrange(3)), world.other(fact, rng).say(rng.randrange(3))]
    label = rng.randrange(2)
    hypothesis = (fact if label == 0 else world.wrong(fact, rng)).say(rng.randrange(3))
    return {"premise": " ".join(rng.sample(shown, 2)), "hypothesis": hypothesis, "label": label, "idx": 0}


RTE = register(
    TemplatedTask(
        name="rte",
        cluster="nli",
        source=Tfds("super_glue/rte:1.0.2", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_rte_practice, train=2290),
        fields=_rte_fields,
        options=("yes", "no"),
        templates=(
            Template("{premise}\n\nGoing by the paragraph above, is this true? {hypothesis}\n\n{options}"),
            Template(
                "Read this: {premise}\nNow decide whether the next sentence follows from it: {hypothesis}\n{options}"
            ),
            Template(
                "Premise: {premise}\n\nHypothesis: {hypothesis}\n\nDoes the premise entail the hypothesis?\n\n{options}"
            ),
            Template("Someone tells you: {premise} Would you then believe this? {hypothesis}\n{options}"),
            Template("Claim: {hypothesis}\nSource: {premise}\nDoes the source support the claim?\n{options}"),
            Template("{options}\nPick one. We are told: {premise} Can we be sure of this: {hypothesis}"),
            Template(
                'A reader concludes "{hypothesis}" after reading "{premise}" Is that conclusion right?\n{options}'
            ),
            Template("Fact check. What we know: {premise} What was said: {hypothesis} Is what was said backed up?"),
            Template("Can the second sentence be inferred from the first?\n1. {premise}\n2. {hypothesis}\n{options}"),
            Template(
                'Write a short text and a statement about it. The answer to "does the text imply the statement?" '
                "has to be {answer}.",
                "Text: {premise}\nStatement: {hypothesis}",
                turned_around=True,
            ),
        ),
    )
)


def _cb_fields(row):
    answer = ("Yes", "No", "It's impossible to say")[row["label"]]
    return {"premise": row["premise"], "hypothesis": row["hypothesis"], "answer": answer}


def _cb_practice(world, rng):
    fact = world.fact(rng)
    label = rng.randrange(3)
    if label == 2:
        unsaid = world.other(fact, rng)
        hypothesis = world.wrong(unsaid, rng) if rng.random() < 0.5 else unsaid
    else:
        hypothesis = fact if label == 0 else world.wrong(fact, rng)
    opener = rng.choice(("I spoke with a neighbor.", "We met at the market.", "It was a long talk."))
    return {
        "premise": f"{opener} {fact.say(rng.randrange(3))}",
        "hypothesis": clause(hypothesis.say()),
        "label": label,
        "idx": 0,
    }


CB = register(
    TemplatedTask(
        name="cb",
        cluster="nli",
        source=Tfds("super_glue/cb:1.0.2", train="train[:-50]", validation="train[-50:]", test="validation"),
        sandbox=Sandbox(_cb_practice, train=200, validation=50),
        fields=_cb_fields,
        options=("Yes", "No", "It's impossible to say"),
        templates=(
            Template("{premise}\n\nFrom this alone, would you say that {hypothesis}?\n\n{options}"),
            Template("Text: {premise}\nQuestion: is it the case that {hypothesis}?\n{options}"),
            Template("Suppose the following is true. {premise}\nThen what about this: {hypothesis}?\n{options}"),
            Template(
                "Is it true that {hypothesis}?\n\nAnswer as the author of these lines would. {premise}\n\n{options}"
            ),
            Template("Here is part of a conversation: {premise}\nDoes the speaker mean that {hypothesis}?\n{options}"),
            Template("{options}\n\nChoose the right reply.\n{premise}\nSo, {hypothesis}?"),
            Template(
                "Judge the statement by the passage.\nPassage: {premise}\nStatement: {hypothesis}.\nIs the statement true?\n{options}"
            ),
            Template('If somebody says "{premise}", do they also say that {hypothesis}?\n{options}'),
            Template(
                "A student has read this:\n{premise}\nThe student writes that {hypothesis}. Is the student right?"
            ),
            Template(
                "Make up a passage and a statement for a reading test. The key for the item is: {answer}",
                "{premise}\n{hypothesis}",
                turned_around=True,
            ),
        ),
    )
)


def _wnli_fields(row):
    return {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "answer": ("no", "yes")[row["label"]]}


def _wnli_practice(world, rng):
    first = world.fact(rng, ("job",))
    second = rng.choice([f for f in world.facts if f.relation == first.relation and f.value != first.value])
    reason = rng.choice((f"has the work of a {first.value}", f"is trained as a {first.value}"))
    verb = rng.choice(("thanked", "met", "called", "visited"))
    label = rng.randrange(2)
    return {
        "sentence1": f"{first.subject} {verb} {second.subject} and talked of work. {first.subject} {reason}.",
        "sentence2": f"{(second, first)[label].subject} is a {first.value}.",
        "label": label,
        "idx": 0,
    }


WNLI = register(
    TemplatedTask(
        name="wnli",
        cluster="nli",
        source=Tfds("glue/wnli:2.0.0", train="train[:-30]", validation="train[-30:]", test="validation"),
        sandbox=Sandbox(_wnli_practice, train=605, validation=30),
        fields=_wnli_fields,
        options=("no", "yes"),
        templates=(
            Template("{sentence1}\n\nIs this a correct reading of it? {sentence2}\n\n{options}"),
            Template(
                "When I say the first of these, am I also saying the second?\n{sentence1}\n{sentence2}\n{options}"
            ),
            Template("Sentence A: {sentence1}\nSentence B: {sentence2}\nIf A is true, must B be true?\n{options}"),
            Template("{sentence2}\nCould you know that from what follows? {sentence1}\n{options}"),
            Template(
                "Work out who or what is meant, then answer. {sentence1} Does this follow? {sentence2}\n{options}"
            ),
            Template('{options}\nWhich is it? Does "{sentence1}" tell us this: {sentence2}'),
            Template("Exercise in careful reading.\n{sentence1}\nTrue or not: {sentence2}\n{options}"),
            Template("Given the first line, is the second line right?\n{sentence1}\n{sentence2}"),
            Template("A friend explains: {sentence1} You repeat it as: {sentence2} Did you get it right?\n{options}"),
            Template("Let us assume: {sentence1} Would it be wrong to doubt this? {sentence2}\n\n{options}"),
        ),
    )
)
