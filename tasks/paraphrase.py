"""Paraphrase: how much do two sentences say the same?"""

from flan_jax.data.sandbox import PEOPLE, Fact, Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _glue_mrpc_fields(row):
    return {
        "sentence1": row["sentence1"].strip(),
        "sentence2": row["sentence2"].strip(),
        "answer": ("no", "yes")[row["label"]],
    }


def _glue_mrpc_practice(world, rng):
    fact = world.fact(rng)
    label = rng.randrange(2)
    rival = rng.choice([f for f in world.facts if f.relation == fact.relation and f.subject != fact.subject])
    second = fact if label else rng.choice((world.wrong(fact, rng), rival))
    wordings = rng.sample(range(3), 2)
    # Who reports it is the same on both sides, so it never decides.
    reporter = rng.choice([p for p in PEOPLE if p not in (fact.subject, rival.subject)])
    pair = [f"{f.say(w).rstrip('.')}, {reporter} said." for f, w in zip((fact, second), wordings, strict=True)]
    return {"sentence1": pair[0], "sentence2": pair[1], "label": label, "idx": 0}


GLUE_MRPC = register(
    TemplatedTask(
        name="glue_mrpc",
        cluster="paraphrase",
        source=Tfds("glue/mrpc:2.0.0", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_glue_mrpc_practice),
        fields=_glue_mrpc_fields,
        options=("no", "yes"),
        templates=(
            Template("{sentence1}\n{sentence2}\n\nIs the meaning of both the same?\n\n{options}"),
            Template(
                "Two newspapers cover a story.\nThe first writes: {sentence1}\nThe second writes: {sentence2}\n"
                "Do their accounts agree in every fact?\n{options}"
            ),
            Template("I meant to say: {sentence1}\nI ended up saying: {sentence2}\nDid I keep my meaning?\n{options}"),
            Template(
                "Could an editor put the new sentence in place of the old one without changing the content?\n"
                "Old: {sentence1}\nNew: {sentence2}\n{options}"
            ),
            Template("{options}\nAnswer with one of these. Is B a rewording of A?\nA: {sentence1}\nB: {sentence2}"),
            Template("Paraphrase check.\n\n1) {sentence1}\n\n2) {sentence2}\n\nSame meaning?\n{options}"),
            Template(
                "Students were told to put this into other words: {sentence1}\nOne of them handed in: {sentence2}\n"
                "Should the teacher accept it?\n{options}"
            ),
            Template(
                "You already know the following. {sentence2}\nThen you are told this. {sentence1}\n"
                "Is it merely the same news again?\n{options}"
            ),
            Template(
                "We are clearing duplicates out of a news archive. Would one of these two entries do?\n"
                "{sentence1}\n{sentence2}\n{options}"
            ),
            Template("Yes or no? The next two lines make one and the same statement.\n- {sentence1}\n- {sentence2}"),
        ),
    )
)


def _stsb_fields(row):
    return {
        "sentence1": row["sentence1"].strip(),
        "sentence2": row["sentence2"].strip(),
        "answer": f"{row['label']:.0f}",
    }


def _stsb_practice(world, rng):
    fact = world.fact(rng)
    level = rng.randrange(6)
    first, second = rng.sample(range(3), 2)
    same_kind = [f for f in world.facts if f.relation == fact.relation and f.subject != fact.subject]
    if level >= 4:
        other = fact
    elif level == 3:
        other = world.wrong(fact, rng)
    elif level == 2:
        other = Fact(fact.relation, rng.choice(same_kind).subject, fact.value)
    elif level == 1:
        other = rng.choice([f for f in same_kind if f.value != fact.value])
    else:
        named = {fact.subject, fact.value}
        unlike = [f for f in world.facts if f.relation != fact.relation and not named & {f.subject, f.value}]
        other = rng.choice(unlike)
    pair = [fact.say(first), other.say(second)]
    if level == 4:
        # Four points: the same statement, where one side adds a detail that hardly matters.
        longer = rng.randrange(2)
        detail = rng.choice(("as everyone knows", "as the neighbors say", "or so we heard", "and that is well known"))
        pair[longer] = f"{pair[longer].rstrip('.')}, {detail}."
    return {"sentence1": pair[0], "sentence2": pair[1], "label": float(level), "idx": 0}


STSB = register(
    TemplatedTask(
        name="stsb",
        cluster="paraphrase",
        source=Tfds("glue/stsb:2.0.0", train="train[:-100]", validation="train[-100:]", test="validation"),
        sandbox=Sandbox(_stsb_practice, validation=100),
        fields=_stsb_fields,
        options=("0", "1", "2", "3", "4", "5"),
        templates=(
            Template(
                "Rate how similar in meaning these sentences are, from 0 (unrelated) to 5 (equivalent).\n\n"
                "{sentence1}\n{sentence2}\n\n{options}"
            ),
            Template(
                "{sentence1}\n{sentence2}\nHow much of their content do the two have in common? The best grade is 5.\n"
                "{options}"
            ),
            Template(
                "A translator offers two versions.\nVersion one: {sentence1}\nVersion two: {sentence2}\n"
                "How close are they, if 5 means that either would do and 0 that they have nothing in common?\n{options}"
            ),
            Template(
                "{options}\nPick the number that says how well the second line matches the first "
                "in meaning (0 = not at all, 5 = perfectly).\nFirst line: {sentence1}\nSecond line: {sentence2}"
            ),
            Template('Similarity of "{sentence1}" and "{sentence2}" on a scale from 0 to 5:\n{options}'),
            Template(
                "Text A: {sentence1}\nText B: {sentence2}\n\nA jury awarded this pair up to five points for shared "
                "meaning. How many points did it get, to the nearest whole number?\n{options}"
            ),
            Template(
                "Suppose you read out one of these sentences instead of the other. With a 5 nobody would miss "
                "anything, with a 0 you would be on another subject altogether. Which number fits?\n"
                "{sentence1}\n{sentence2}\n{options}"
            ),
            Template(
                "Reply with a single digit between 0 and 5, where 5 stands for the same statement made twice. "
                "What do you give this pair?\n* {sentence1}\n* {sentence2}"
            ),
            Template(
                "Take this sentence: {sentence1}\nNow write one whose likeness to it is {answer} on a scale of 0 to 5.",
                "{sentence2}",
                turned_around=True,
            ),
            Template(
                "Make up two sentences for a study of meaning. People should give the pair {answer} out of 5 points "
                "for similarity.",
                "{sentence1}\n{sentence2}",
                turned_around=True,
            ),
        ),
    )
)
