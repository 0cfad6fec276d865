import dataclasses
import json

import pytest
from toy_tasks import KIND, SPELL, Rows

import tasks  # noqa: F401 (registers)
from flan_jax.data.config import DataConfig
from flan_jax.data.leakage import (
    ONE_ORIGIN,
    Finding,
    audit,
    audit_mixture,
    audit_runs,
    check_leakage,
    refuse_leaks,
)
from flan_jax.data.store_requests import Request
from flan_jax.errors import InputError
from flan_jax.tasks import task as registry
from flan_jax.tasks.mixtures import MIXTURES, Mixture
from flan_jax.tasks.practice_world import Sandbox
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.sources import Jsonl, Tfds
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


@dataclasses.dataclass(frozen=True)
class OnlyEvaluated(Texts):
    """Texts without a split to draw exemplars from."""

    train: str | None = None


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
            copying("near", CHANGED, LONG, "unlike"),
            copying("far", "nothing of the kind here at all"),
        ],
        [held],
    )
    (finding,) = result.findings
    assert finding[:5] == ("held", "near", "", 1, 3)
    assert finding.pair == (LONG, CHANGED)
    assert result.leaks(0.0) == [finding]
    assert result.leaks(1 / 3) == []
    assert result.labels == {}


@pytest.mark.parametrize(
    "text, other",
    [
        # 9 of 15 word 5-grams in common: similar, but below SIMILARITY.
        (LONG, " ".join([*WORDS[:-3], "ninety", *WORDS[-2:]])),
        ("one two three four five six", "one two three four five seven"),
        ("one two three", "one two four"),
        ("one two three", ""),
    ],
)
def test_texts_that_are_similar_and_not_near_duplicates(text, other):
    held = copying("held", text)
    assert found([copying("far", other)], [held]).findings == ()
    assert found([copying("near", text)], [held]).findings


def test_the_most_serious_findings_come_first():
    held = [copying(name, LONG, OTHER, "short") for name in ("held_1", "held_2")]
    origin = copying("origin", "unlike", dataset="d")
    trained = [
        copying("one", LONG),
        copying("two", LONG, OTHER),
        copying("another", CHANGED),
        origin,
    ]
    held_out = [dataclasses.replace(held[1], dataset="d"), held[0]]
    findings = found(trained, held_out).findings
    assert [(f.held_out, f.trained, f.duplicates) for f in findings] == [
        ("held_2", "origin", 0),
        ("held_1", "two", 2),
        ("held_2", "two", 2),
        ("held_1", "another", 1),
        ("held_1", "one", 1),
        ("held_2", "another", 1),
        ("held_2", "one", 1),
    ]
    assert findings[0].reason == "configurations of one dataset"
    assert findings[1].reason == "2 near-duplicates"


def test_the_first_leaks_are_listed():
    leaks = [Finding("held", f"t{i}", "", i, 20, None) for i in range(12)]
    refuse_leaks([])
    with pytest.raises(InputError, match="in 12 ways:") as raised:
        refuse_leaks(leaks)
    _, *lines, advice = str(raised.value).splitlines()
    assert lines[0] == "  held <- t0: 0 near-duplicates"
    assert lines[9:] == ["  held <- t9: 9 near-duplicates", "  and 2 more"]
    assert advice.startswith("Take the tasks out of MIXTURE")
    with pytest.raises(InputError, match="t9: 9 near-duplicates\nTake"):
        refuse_leaks(leaks[:10])


@pytest.fixture
def zoo(monkeypatch):
    """zoo(task, ...) -> settings of a run that trains on all but the task "held"."""

    def register(*toys):
        for task in toys:
            monkeypatch.setitem(TASKS, task.name, task)
        names = tuple(task.name for task in toys)
        monkeypatch.setitem(MIXTURES, "toy", Mixture("toy", names))
        return DataConfig(
            mixture="toy",
            held_out="held",
            source="jsonl",
            data_dir=None,
            tokenizer="practice",
            lengths={"inputs": 64, "targets": 32},
            batch_size=8,
            seed=0,
            workers=0,
        )

    return register


def test_the_settings_limit_the_leakage(zoo):
    held = copying("held", LONG, OTHER, cluster="held")
    config = zoo(copying("near", LONG), held)
    assert check_leakage(config) is None
    for limit in (0.0, 0.4):
        with pytest.raises(InputError, match="held <- near: 2 near-duplicates"):
            check_leakage(dataclasses.replace(config, max_leakage=limit))
    check_leakage(dataclasses.replace(config, max_leakage=0.5))


def test_tasks_that_cannot_be_read(zoo):
    broken = copying("broken", source=Jsonl(train="/nowhere/x.jsonl"))
    config = zoo(
        copying("near", LONG), broken, copying("held", LONG, OTHER, cluster="held")
    )
    with pytest.raises(InputError, match="no file /nowhere/x.jsonl"):
        audit_mixture(config)
    audit = audit_mixture(dataclasses.replace(config, skip_broken=True))
    assert [finding.trained for finding in audit.findings] == ["near"]


def test_runs_that_read_other_rows_have_audits_of_their_own(zoo, tmp_path):
    public = copying(
        "public",
        source=Tfds("zoo/public:1.0.0", train="train", test="test"),
        sandbox=Sandbox(
            lambda world, rng: {"text": str(rng.random())}, train=3, test=3
        ),
    )
    config = zoo(public, copying("held", LONG, OTHER, cluster="held"))
    for folder, text in (("a", LONG), ("b", "nothing of the kind here at all")):
        (tmp_path / folder / "public").mkdir(parents=True)
        for split in ("train", "test"):
            file = tmp_path / folder / "public" / f"{split}.jsonl"
            file.write_text(json.dumps({"text": text}))
    from_files = [
        dataclasses.replace(config, data_dir=str(tmp_path / folder))
        for folder in ("a", "b")
    ]
    from_sandbox = dataclasses.replace(from_files[0], source="sandbox")
    audits = audit_runs([*from_files, from_sandbox])
    assert [len(audit.findings) for audit in audits] == [1, 0, 0]


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
    same = dataclasses.replace(
        kind, name="same", source=Tfds("zoo/kind:2.0.0", train="train", test="test")
    )
    registry.TASKS.update({"toy_kind": kind, "same": same})
    read = [dataclasses.replace(task, source=Rows(3)) for task in (same, kind)]
    result = found(read[:1], read[1:])
    assert [f.origin for f in result.findings] == ["the same source"]
    assert result.leaks(1.0) == list(result.findings)
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


def test_the_audits_of_several_runs_are_those_of_each(monkeypatch):
    """What one audit of all runs finds is given to each by its tasks; nothing is lost or added."""
    names = ("rte", "wnli", "wsc", "sst2", "copa")
    monkeypatch.setitem(MIXTURES, "few", Mixture("few", names))
    monkeypatch.setitem(MIXTURES, "more", Mixture("more", (*names, "qnli", "squad_v1")))
    config = DataConfig(
        mixture="few",
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
    changes = ({}, {"held_out": ("sentiment", "commonsense")}, {"mixture": "more"})
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


def test_each_of_several_runs_has_its_own_tasks_and_caps(zoo):
    config = zoo(
        copying("near", "nothing of the kind here", LONG, options=("x", "y")),
        copying("held", LONG, OTHER, cluster="held", options=("x", "y")),
        copying("other", OTHER, cluster="other", options=("x", "y")),
    )
    changes = ({}, {"held_out": "other"}, {"examples_per_dataset": 1})
    configs = [dataclasses.replace(config, **each) for each in changes]
    few = dataclasses.replace(config, eval_examples=1)
    audits = audit_runs([*configs, few])
    assert audits[:3] == [audit_mixture(each) for each in configs]

    def counts(audit):
        return [(f.trained, f.duplicates, f.examples) for f in audit.findings]

    # Held-out rows are those of two splits.
    assert counts(audits[0]) == [("near", 2, 4), ("other", 2, 4)]
    assert counts(audits[1]) == [("held", 2, 2)]
    assert counts(audits[2]) == [("other", 2, 4)]
    assert counts(audits[3]) == [("near", 2, 2)]
    assert audits[0].labels == {"held": ("near", "other")}
    assert audits[1].labels == {"other": ("near", "held")}


def test_runs_of_other_prompts_have_the_tasks_that_they_evaluate(zoo):
    held = copying("held", source=OnlyEvaluated((LONG, OTHER)), cluster="held")
    config = zoo(copying("near", LONG), held)
    few_shot = dataclasses.replace(config, eval_prompts=Prompts(shots=1))
    audits = audit_runs([config, few_shot])
    assert [len(audit.findings) for audit in audits] == [1, 0]


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
