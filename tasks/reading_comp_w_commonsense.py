"""Reading comprehension with commonsense: the text alone does not give the answer."""

from flan_jax.tasks import ClozeTemplate, FormatTemplate, TemplatedTask, Tfds, register
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import reading_comp_w_commonsense as practice


def _record_fields(row):
    """Returns the entities with the rest of the query as options, and what precedes them."""
    before, placeholder, after = row["query"].strip().partition("@placeholder")
    entities = tuple(dict.fromkeys(row["entities"]))
    references = tuple(
        entity + after for entity in entities if entity in row["answers"]
    )
    if not placeholder or not references:
        return None
    return {
        "passage": row["passage"].partition("@highlight")[0].strip(),
        "opening": f"{before}...",
        # without the dots, a query that begins with the placeholder would not show at all
        "choices": tuple(entity + after for entity in entities),
        "answer": references[0],
        "references": references,
    }


RECORD = register(
    TemplatedTask(
        name="record",
        cluster="reading_comp_w_commonsense",
        title="ReCoRD",
        source=Tfds(
            "super_glue/record:1.0.2",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        # its idx is not one number but two, so the rows are not numbered
        sandbox=Sandbox(practice.record, numbered=()),
        fields=_record_fields,
        options="choices",
        cloze=ClozeTemplate("{passage}\n{opening} {answer}"),
        premise=("passage",),
        templates=(
            FormatTemplate(
                "{passage}\n\n{opening}\n\nComplete the last sentence.\n\n{options}"
            ),
            FormatTemplate(
                "Choose the ending that makes the last sentence of this article true.\n\n"
                "{passage}\n\n{opening}\n\n"
                "{options}"
            ),
            FormatTemplate(
                "{options}\n\nOne of the lines above belongs where the text below breaks off. "
                "Which is it?\n\n"
                "{passage}\n\n{opening}"
            ),
            FormatTemplate(
                "You work at a news agency. A colleague's report has come in with its last "
                "sentence unfinished, just "
                "before a name. Finish that sentence for her.\n\n{passage}\n{opening}\n\n{options}"
            ),
            FormatTemplate(
                "The radio went dead in the middle of a sentence! This is what I had heard until "
                "then:\n\n{passage}\n"
                "{opening}\n\nHow did that sentence go on, do you think?\n{options}"
            ),
            FormatTemplate(
                "Cloze exercise\n\nRead the following: {passage}\n\nThen finish this sentence: "
                "{opening}\n\n"
                "Endings to choose from:\n{options}"
            ),
            FormatTemplate(
                "The quizmaster reads out a piece of news and begins one more sentence, which "
                "the teams have to "
                "complete with the right person, place or thing.\n\nNews: {passage}\n\nSentence: "
                "{opening}\n\n"
                "What should a team say to score?\n{options}"
            ),
            FormatTemplate(
                "Beginning of a sentence: {opening}\n\nThe report below tells you how it must go "
                "on.\n\n{passage}\n\n"
                "Select the continuation that agrees with the report.\n\n{options}"
            ),
            FormatTemplate(
                "{passage}\n\nThis is the final sentence of the story, as far as it got:\n"
                "{opening}\n\n"
                "Who or what must be named next, and what comes after that?\n\n{options}"
            ),
            FormatTemplate(
                "My grandmother reads the paper aloud to us and likes to stop halfway through a "
                "sentence, to see who "
                "is listening. Today she read:\n\n{passage}\n{opening}\n\nHelp me out, how does "
                "her last sentence "
                "end?\n{options}"
            ),
        ),
    )
)


def _cosmos_qa_fields(row):
    if row["label"] not in range(4):
        return None
    choices = tuple(row[f"answer{i}"].strip() for i in range(4))
    return {
        "context": row["context"].strip(),
        "question": row["question"].strip(),
        "choices": choices,
        "answer": choices[row["label"]],
    }


COSMOS_QA = register(
    TemplatedTask(
        name="cosmos_qa",
        cluster="reading_comp_w_commonsense",
        title="CosmosQA",
        source=Tfds(
            "cosmos_qa:1.0.0",
            train="train[:-200]",
            validation="train[-200:]",
            test="validation",
        ),
        sandbox=Sandbox(practice.cosmos_qa, numbered=("id",)),
        fields=_cosmos_qa_fields,
        options="choices",
        cloze=ClozeTemplate("{context}\n{question} {answer}"),
        premise=("context",),
        templates=(
            FormatTemplate(
                "{context}\n\nQuestion: {question}\n\nWhich answer is the most plausible?\n\n"
                "{options}"
            ),
            FormatTemplate(
                "Read between the lines of this blog entry.\n\n{context}\n\nWhat would you reply "
                "to the following?\n"
                "{question}\n{options}"
            ),
            FormatTemplate(
                "{question}\n\nThe story does not say it outright, but with some common sense "
                "one can tell.\n\n"
                "Story: {context}\n\n{options}"
            ),
            FormatTemplate(
                "{options}\n\nTake the option that suits the situation best.\n\nSituation: "
                "{context}\n\n"
                "Question about it: {question}"
            ),
            FormatTemplate(
                "Picture the people in this account, and think of how such things usually go in "
                "life.\n\n{context}\n\n"
                "Now what is your guess? {question}\n\n{options}"
            ),
            FormatTemplate(
                "Comprehension, advanced level. Answers cannot be copied from the text; they "
                "must be inferred.\n\n"
                "Text: {context}\n\n1. {question}\n\n{options}"
            ),
            FormatTemplate(
                "Look what somebody posted on the internet!\n\n{context}\n\nIt got me thinking. "
                "{question}\nHere are "
                "four ideas. Which one of them sounds right to you?\n\n{options}"
            ),
            FormatTemplate(
                "From the files of an armchair detective\n\nStatement of the witness: {context}\n\n"
                "Point to clear up: {question}\n\nTheories, of which the best is to be kept:\n"
                "{options}"
            ),
            FormatTemplate(
                "{context}\n\nAsk about something that this text leaves unsaid, but that its "
                "readers can guess if they "
                "know a little about life.",
                "{question}",
                turned_around=True,
            ),
            FormatTemplate(
                "These are the four choices of a test item, and the text on which it is based.\n"
                "\n{options}\n\n"
                "Text: {context}\n\nThe right choice is this one: {answer}\nWrite the question "
                "of the item.",
                "{question}",
                turned_around=True,
            ),
        ),
    )
)
