import dataclasses
import io

import pytest
import rich.console
from toy_tasks import CHAT, HERD, KIND, SPELL

from flan_jax.cli import inspect_task
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples
from flan_jax.tasks.templates import FormatTemplate

PRACTICE = RowTokenizer(load_tokenizer("practice"))


def shown(task, *, color=False, **settings):
    sink = io.StringIO()
    console = rich.console.Console(
        file=sink,
        width=100,
        force_terminal=color,
        color_system="standard" if color else None,
    )
    inspect_task.show(
        task,
        **{
            "split": "train",
            "row_tokenizer": PRACTICE,
            "lengths": {"inputs": 64, "targets": 16},
            "prompts": Prompts(),
            "templates": (),
            "rows": 1,
            "counted": 5,
            "console": console,
        }
        | settings,
    )
    return sink.getvalue()


def test_every_template_is_shown_with_its_tokens():
    text = shown(KIND)
    assert text.count("targets ") >= 3
    assert "Does a cat number 0 fly?" in text and "- no\n- yes" in text
    assert "template 2, row 0 (turned around: not evaluated)" in text
    assert "5 examples; at most 64 input and 16 target tokens" in text


def test_the_header_is_one_line_also_where_there_is_no_terminal(capsys):
    assert inspect_task.main(["openbookqa", "--count=1", "--template=0"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "openbookqa · reading_comp · options: choices · accuracy · 10 templates, 3 turned around"
    )


def test_one_of_something_is_written_as_one():
    text = shown(dataclasses.replace(KIND, templates=KIND.templates[:1]), counted=1)
    assert "1 template, 0 turned around" in text
    assert "1 example; at most 64 input and 16 target tokens" in text


def test_instruction_fields_and_options_differ_in_color():
    text = inspect_task.color_parts(
        KIND.templates[0], "", KIND.example({"animal": "cat", "number": 0})
    )
    spans = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert spans == {
        "cat number 0": inspect_task.FIELD,
        "OPTIONS:\n- no\n- yes": inspect_task.SUFFIX,
    }
    assert "\x1b[36m" in shown(KIND, color=True)


def test_the_tokens_with_loss_are_those_that_training_sees():
    (ids,) = PRACTICE.encode_answers(["red blue green"])
    words = len(ids) - 1
    for length in (2, words, len(ids), 50):
        text = inspect_task.tokens_with_loss(ids, PRACTICE, length)
        assert text.plain.startswith("red") and text.plain.endswith(" </s>")
        styles = [str(span.style) for span in text.spans]
        kept = min(words, length - 1)
        assert styles == [inspect_task.LOSS] * kept + [inspect_task.CUT] * (
            words - kept
        ) + [inspect_task.LOSS]


def test_counts_of_cut_and_unsupervised_examples():
    task = dataclasses.replace(
        SPELL, templates=(FormatTemplate("{animal}"),), fields=lengthening
    )
    examples = list(kept_examples(task, [{"n": n} for n in (0, 1, 9)], None))
    counts = inspect_task.count(
        task,
        task.templates[0],
        examples,
        row_tokenizer=PRACTICE,
        lengths={"inputs": 5, "targets": 5},
    )
    assert (
        counts.examples,
        counts.cut_inputs,
        counts.cut_targets,
        counts.unsupervised,
    ) == (3, 1, 1, 1)


def lengthening(row):
    """An input and a target of n words; a target that no token is left of, for n = 0."""
    return {
        "animal": "red " * row["n"] or "x",
        "answer": "blue " * row["n"] or "\u200b",
    }


@pytest.mark.parametrize(
    "flags, message",
    [
        (["rtee"], "unknown task 'rtee'. Did you mean 'rte'?"),
        (["mine"], "the module that registers it is imported: --import=my_module"),
        (["rte", "--template=10"], "has no template 10; its templates are 0 to 9"),
        (
            ["rte", "--import=no_such_module"],
            "--import=no_such_module: No module named",
        ),
        (["rte", "--targets=1"], "--targets is 1; it must be at least 2"),
        (["rte", "--rows=0"], "--rows is 0"),
        (["rte", "--source=jsonl"], "SOURCE = 'jsonl' needs DATA_DIR"),
        (["rte", "--instructions=bare"], "unknown Prompts.instructions 'bare'"),
    ],
)
def test_errors(flags, message, capsys):
    assert inspect_task.main(flags) == 2
    assert message in capsys.readouterr().err


def test_a_task_by_its_name(capsys):
    assert (
        inspect_task.main(
            ["cb", "--template=1", "--rows=2", "--no_options", "--split=test"]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert (
        "template 1, row 1" in text
        and "OPTIONS" not in text.partition("examples; at most")[0]
    )


def test_another_template_class_is_shown_without_colours():
    task = dataclasses.replace(SPELL, templates=(PlainTemplate(),))
    assert "Spell the word cat" in shown(task)


class PlainTemplate:
    """A template class that does not say which parts of its input are fields."""

    fields = frozenset({"animal", "answer"})
    turned_around = False

    def render(self, fields):
        return f"Spell the word {fields['animal']}", fields["answer"]


def test_a_conversation_is_shown_by_segments():
    text = shown(CHAT, color=False, lengths={"inputs": 64, "targets": 16})
    lines = [line.strip() for line in text.splitlines()]
    assert "Speak of animals." in lines
    assert lines.index("Name an animal.") < lines.index("Spell it.")
    assert sum(line.startswith("reply ") for line in lines) == 1
    assert sum(line.startswith("targets ") for line in lines) == 1
    assert "the oldest are left out" not in text
    cut = shown(CHAT, lengths={"inputs": 8, "targets": 16})
    assert "8 fit; the oldest are left out" in cut
    segments = CHAT.templates[0].segments(CHAT.example({"animal": "cat", "number": 0}))
    inputs = list(map(len, PRACTICE.encode_examples([segments])))[:-1]
    counts = inspect_task.count(
        CHAT,
        CHAT.templates[0],
        [(0, CHAT.example({"animal": "cat", "number": 0}))],
        row_tokenizer=PRACTICE,
        lengths={"inputs": sum(inputs), "targets": 16},
    )
    assert (counts.mean_inputs, counts.cut_inputs) == (sum(inputs), 0)


def test_the_header_names_the_field_of_the_group():
    assert " · options: no, yes · grouped by herd · accuracy, group_ex" in shown(HERD)
