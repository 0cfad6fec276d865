import dataclasses

import pytest
from toy_tasks import KIND, SPELL, Rows

import tasks  # noqa: F401 (registers)
from flan_jax.data.config import DataConfig
from flan_jax.data.leakage import ONE_ORIGIN, audit, audit_mixture, audit_runs
from flan_jax.data.store_requests import Request
from flan_jax.errors import InputError
from flan_jax.tasks import task as registry
from flan_jax.tasks.sources import Tfds
from flan_jax.tasks.task import TASKS, TemplatedTask
from flan_jax.tasks.templates import FormatTemplate

WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]


@dataclasses.dataclass(frozen=True)
class Texts:
    """Rows of the given texts in each split."""

    texts: tuple[str, ...]

    def rows(self, split):
        return ({"text": text} for text in self.texts)

    def fingerprint(self, split):
        return str(self.texts)

    @property
    def provenance(self):
        return {"kind": "toy", "where": "test_leakage.Texts"}


def text_fields(row):
    return {"text": row["text"], "answer": "x"}


def copying(name, *texts, **changes):
    task = TemplatedTask(
        name=name,
        cluster="zoo",
        source=Texts(texts),
        fields=text_fields,
        templates=(
            FormatTemplate(
                "A long instruction that every prompt of this task has in common: {text}"
            ),
        ),
    )
    return dataclasses.replace(task, **changes)


def found(trained, held_out, **settings):
    train = [Request(task, "train", "train") for task in trained]
    asked = [Request(task, "test", "eval") for task in held_out]
    return audit(train, asked, **{"workers": 0} | settings)


LONG = " ".join(WORDS)
CHANGED = " ".join([*WORDS[:-1], "seventeen"])
OTHER = " ".join(reversed(WORDS))


def test_near_duplicate_inputs():
    held = copying("held", LONG, OTHER, "short")
    result = found(
        [
            copying("near", CHANGED, CHANGED, "unlike"),
            copying("far", "nothing of the kind here at all"),
        ],
        [held],
    )
    (finding,) = result.findings
    assert finding[:5] == ("held", "near", "", 1, 3)
    assert finding.pair == (LONG, CHANGED)
    assert result.leaks(0.0) == [finding]
    assert result.leaks(1 / 3) == []


def test_letters_and_marks_do_not_hide_a_duplicate():
    held = copying("held", LONG, "Where is it?")
    result = found([copying("near", f"{LONG.upper()}!", "where is it")], [held])
    assert [f.duplicates for f in result.findings] == [2]


def test_the_words_of_templates_do_not_count():
    assert found([copying("far", "a b")], [copying("held", "c d")]).findings == ()


def test_processes_find_the_same():
    trained = [
        copying(f"t{i}", *(f"{LONG} {OTHER} {i}" for i in range(5))) for i in range(3)
    ]
    held = [copying("held", LONG, OTHER, f"{LONG} {OTHER} 3")]
    one, two = found(trained, held), found(trained, held, workers=2)
    assert one == two
    assert [f.trained for f in one.findings] == ["t0", "t1", "t2"]


def test_what_cannot_travel_is_searched_here():
    near = copying("near", CHANGED, fields=lambda row: text_fields(row))
    assert found(
        [near, copying("other", "x")], [copying("held", LONG)], workers=2
    ).findings


def test_one_origin(monkeypatch):
    monkeypatch.setattr(registry, "TASKS", {})
    kind = dataclasses.replace(
        KIND, source=Tfds("zoo/kind:1.0.0", train="train", test="test")
    )
    # The rows that a run reads may come from elsewhere; what counts is the task's own source.
    same = dataclasses.replace(kind, name="same")
    registry.TASKS.update({"toy_kind": kind, "same": same})
    read = [dataclasses.replace(task, source=Rows(3)) for task in (same, kind)]
    assert [f.origin for f in found(read[:1], read[1:]).findings] == ["the same source"]
    one, other = (
        dataclasses.replace(SPELL, name=name, dataset="d", source=Rows(n))
        for n, name in enumerate("ab", 1)
    )
    assert [f.origin for f in found([one], [other]).findings] == [
        "configurations of one dataset"
    ]


def test_the_cap_limits_training_rows():
    assert not found(
        [copying("near", OTHER, LONG)], [copying("held", LONG)], cap=1
    ).findings


def test_the_audits_of_several_runs_are_those_of_each():
    """What one audit of all runs finds is given to each by its tasks; nothing is lost or added."""
    config = DataConfig(
        mixture="practice",
        held_out="nli",
        source="sandbox",
        data_dir=None,
        tokenizer="practice",
        lengths={"inputs": 64, "targets": 32},
        batch_size=8,
        seed=0,
        examples_per_dataset=60,
        eval_examples=1_000_000,
        workers=0,
    )
    changes = ({}, {"held_out": ("sentiment", "commonsense")}, {"mixture": "flan2021"})
    configs = [
        dataclasses.replace(config, **each)
        for each in (*changes, {"examples_per_dataset": 5})
    ]
    audits = audit_runs(configs)
    assert audits == [audit_mixture(each) for each in configs]
    assert audits[2].findings and audits[0].labels
    few = dataclasses.replace(configs[2], eval_examples=5)
    assert {f.examples for f in audit_runs([few])[0].findings} == {
        10
    }  # of the validation and of the test split
    with pytest.raises(InputError, match="nothing is held out"):
        audit_runs([config, dataclasses.replace(config, held_out=None)])


def test_shared_label_spaces():
    alike = dataclasses.replace(
        KIND, name="alike", source=Rows(2), options=("Yes", "no"), fields=shouted
    )
    result = found([alike, SPELL], [KIND])
    assert result.labels == {"toy_kind": ("alike",)}


def shouted(row):
    return {"animal": f"another beast {row['number']}", "answer": "Yes"}


def test_the_known_origins_name_tasks_of_ours():
    assert all({one, other} <= TASKS.keys() for one, other, _ in ONE_ORIGIN)


@pytest.mark.parametrize("name", ["qnli", "wnli"])
def test_flan_knows_its_own_leaks(name):
    others = {why for one, _, why in ONE_ORIGIN if one == name}
    held = dataclasses.replace(
        TASKS[name], source=dataclasses.replace(TASKS[name].sandbox, test=1)
    )
    trained = [
        dataclasses.replace(
            TASKS[other], source=dataclasses.replace(TASKS[other].sandbox, train=1)
        )
        for one, other, _ in ONE_ORIGIN
        if one == name
    ]
    assert {f.origin for f in found(trained, [held]).findings} == others
