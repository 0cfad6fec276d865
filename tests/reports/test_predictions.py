import pytest
from run_directory import prediction, scores, task, write_run

from flan_jax.reports.predictions import sample_predictions, task_predictions
from flan_jax.reports.run_report import write


def titles(block):
    return [[prompt.title for prompt in prompts] for prompts in block.examples]


def examples_of(run, name):
    return task_predictions(run, name, remark="", is_open=True)


def test_before_and_after_are_paired(tmp_path):
    after = [prediction(7, 0, 1), prediction(8, 0, 1, split="validation")]
    run = write_run(
        tmp_path, predictions={"rte-before": [prediction(7, 0, 0)], "rte-after": after}
    )
    ((prompt,),) = examples_of(run, "rte").examples
    assert prompt.title == "test example 7, template 0"
    assert [(answer.label, answer.mark, answer.text) for answer in prompt.answers] == [
        ("right answer", "", "no"),
        ("before", "✗ wrong", "yes"),
        ("after", "✓ right", "no"),
    ]
    assert prompt.options.columns[2:] == [
        "log-probability before",
        "log-probability after",
    ]
    assert prompt.options.rows == [
        ["yes", "", "-1.25", "-1.25"],
        ["no", "✓ right answer", "-2.50", "-2.50"],
    ]


def test_further_prompts_follow(tmp_path):
    prompts = {"before": (3, 0), "after": (3, 1), "after-none": (0, 0)}
    rows = {
        f"rte-{phase}": [prediction(7, template, chosen, text=f"Is it so? ({phase})")]
        for phase, (template, chosen) in prompts.items()
    }
    rows["rte-after-none"].append(prediction(8, 3, 1, text="another example"))
    block = examples_of(write_run(tmp_path, predictions=rows), "rte")
    assert titles(block) == [
        ["test example 7, template 3", "after, prompts none, template 0"]
    ]
    main, further = block.examples[0]
    assert (main.prompt, further.prompt) == (
        "Is it so? (after)",
        "Is it so? (after-none)",
    )
    assert [(answer.label, answer.mark) for answer in further.answers] == [
        ("right answer", ""),
        ("after-none", "✗ wrong"),
    ]


def test_generated_text_is_not_called_wrong(tmp_path):
    row = {
        "split": "test",
        "example": 0,
        "template": 0,
        "answer": -1,
        "right": [],
        "inputs": "x",
        "references": ["A b."],
    }
    rows = {
        "g-before": [row | {"prediction": "c"}],
        "g-after": [row | {"prediction": "a B. "}],
    }
    ((prompt,),) = examples_of(write_run(tmp_path, predictions=rows), "g").examples
    assert prompt.options is None
    assert [(answer.label, answer.mark) for answer in prompt.answers] == [
        ("reference", ""),
        ("before", "differs"),
        ("after", "✓ as a reference"),
    ]


def test_ten_examples_from_all_templates_the_same_each_time(tmp_path):
    rows = [
        prediction(example, template, 1)
        for example in range(60)
        for template in range(7)
    ]
    run = write_run(tmp_path, predictions={"rte-after": rows})
    block = examples_of(run, "rte")
    assert len(block.examples) == 10
    assert {title.rpartition(" ")[2] for (title,) in titles(block)} == set("0123456")
    write_run(tmp_path, predictions={"rte-after": rows[::-1]})
    assert examples_of(run, "rte") == block


def test_the_page_shows_them(tmp_path):
    rows = {"rte-before": [prediction(7, 0, 0)], "rte-after": [prediction(7, 0, 1)]}
    run = write_run(tmp_path, task("rte", after=scores(50.0)), predictions=rows)
    page = write(run).read_text()
    assert "<details open><summary><b>rte</b>, held out" in page
    assert page.count('<div class="example">') == 1
    assert (
        "before <b>&#10007; wrong</b>" in page and "after <b>&#10003; right</b>" in page
    )
    assert "-1.25" in page and "log-probability before" in page


def test_a_sample_of_a_file_is_evenly_spaced(tmp_path):
    rows = [prediction(number, 0, 1) for number in range(100, 1000)]
    run = write_run(tmp_path, predictions={"rte-after": rows})
    examples = [
        entry.example
        for entry in sample_predictions(run / "predictions" / "rte-after.jsonl", 6)
    ]
    assert len(examples) == 6 and examples == sorted(set(examples))
    assert examples[0] == 100 and examples[-1] > 800


def test_a_damaged_file_of_predictions_is_an_error(tmp_path):
    run = write_run(tmp_path, predictions={"rte-after": [{"split": "test"}]})
    with pytest.raises(TypeError, match="example"):
        sample_predictions(run / "predictions" / "rte-after.jsonl", 6)
