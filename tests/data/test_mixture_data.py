import dataclasses
import json

import pytest
from toy_tasks import KIND, SPELL, FailingRows, Rows

from flan_jax.data import mixture_data
from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import (
    absent_validation,
    evaluation_gaps,
    prepare_evaluation,
    prepare_mixture,
    report_gaps,
    run_requests,
    task_lengths,
    tokenizer_texts,
)
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.mixtures import MIXTURES, Mixture
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.sources import Jsonl, Tfds
from flan_jax.tasks.task import TASKS, get_task
from flan_jax.tasks.templates import FormatTemplate
from tasks import nli  # noqa: F401 (registers)

PRACTICE = RowTokenizer(load_tokenizer("practice"))


@dataclasses.dataclass(frozen=True)
class GeneratedRows(Rows):
    """Rows that a run takes for the practice corpus."""

    @property
    def provenance(self):
        return {"kind": "generated", "where": "here"}


@pytest.fixture
def register(monkeypatch):
    """register(task, ...) -> registers tasks and, of all of them, the mixture "toy"."""

    def register(*tasks):
        for task in tasks:
            monkeypatch.setitem(TASKS, task.name, task)
        names = tuple(task.name for task in tasks)
        monkeypatch.setitem(MIXTURES, "toy", Mixture("toy", names))

    return register


@pytest.fixture
def config_of(tmp_path):
    """config_of(**changes) -> the settings of a small run."""
    config = DataConfig(
        mixture="toy",
        held_out=None,
        source="sandbox",
        data_dir=None,
        tokenizer="practice",
        lengths={"inputs": 64, "targets": 32},
        batch_size=4,
        seed=0,
        eval_examples=5,
        cache_dir=str(tmp_path / "cache"),
        workers=0,
    )
    return lambda **changes: dataclasses.replace(config, **changes)


def named(task, name, **changes):
    return dataclasses.replace(task, name=name, **changes)


def test_the_stores_of_a_run(register, config_of):
    register(KIND, SPELL)
    data = prepare_mixture(config_of(held_out="zoo"), PRACTICE)
    assert data.split == Split(
        train=("toy_spell",), held_out=("toy_kind",), clusters=("zoo",)
    )
    assert list(data.train) == ["toy_spell"]
    assert data.train["toy_spell"].meta["kind"] == "train"
    assert list(data.evaluation) == [
        ("toy_spell", "test"),
        ("toy_kind", "validation"),
        ("toy_kind", "test"),
    ]
    assert {store.meta["examples"] for store in data.evaluation.values()} == {5}
    assert data.not_evaluated == {}
    assert data.extra_evaluation == {}
    assert data.rates == {"toy_spell": 13}
    assert data.plan("decoder").names == ("toy_spell",)


def test_the_rates_and_the_plan_have_the_settings(register, config_of):
    register(KIND, SPELL)

    def prepared(**changes):
        return prepare_mixture(config_of(renderings=2, **changes), PRACTICE)

    # Renderings are no more examples: KIND keeps 17 rows, SPELL 13.
    assert prepared().rates == {"toy_kind": 17, "toy_spell": 13}
    assert prepared(maximum_rate=9).rates == {"toy_kind": 9, "toy_spell": 9}
    assert prepared(mixing="equal").rates == {"toy_kind": 1, "toy_spell": 1}
    even = prepared(temperature=1e9).rates
    assert even["toy_kind"] == pytest.approx(even["toy_spell"], rel=1e-3)

    fit = {"inputs": 64, "targets": "fit"}
    data = prepared(batch_size=3, seed=5, lengths=fit)
    assert task_lengths(data.train["toy_kind"]).renderings == 2
    plan = data.plan("decoder")
    assert (plan.batch_size, plan.seed, plan.packing) == (3, 5, True)
    assert plan.lengths == {"inputs": 64, "targets": 40}
    assert prepared(packing=False).plan("decoder").packing is False


def test_requests_are_made_once(register, config_of, monkeypatch):
    register(KIND, SPELL)
    calls = []

    def count_calls(config, split):
        calls.append(split)
        return run_requests(config, split)

    monkeypatch.setattr(mixture_data, "run_requests", count_calls)
    prepare_mixture(config_of(), PRACTICE)
    assert len(calls) == 1


def test_requests_have_the_prompts_of_their_side(register, config_of):
    register(KIND, SPELL)
    train, evaluation = Prompts(templates=1), Prompts(instructions="none")
    config = config_of(held_out="zoo", train_prompts=train, eval_prompts=evaluation)
    requests = run_requests(config, config.split())
    assert {request.key: request.prompts for request in requests} == {
        ("toy_spell", "train", "train"): train,
        ("toy_spell", "test", "eval"): evaluation,
        ("toy_kind", "validation", "eval"): evaluation,
        ("toy_kind", "test", "eval"): evaluation,
    }


def test_requests_are_for_what_can_be_evaluated(register, config_of):
    turned_around = (FormatTemplate("Name {animal}", "{answer}", turned_around=True),)
    register(
        SPELL,
        named(SPELL, "turned", templates=turned_around),
        named(KIND, "no_test", source=Rows(test=None)),
        named(KIND, "no_validation", source=Rows(validation=None)),
    )
    config = config_of(held_out="zoo")
    assert [request.key for request in run_requests(config, config.split())] == [
        ("toy_spell", "train", "train"),
        ("turned", "train", "train"),
        ("toy_spell", "test", "eval"),
        ("no_validation", "test", "eval"),
    ]


def test_requests_read_the_source_of_the_run(register, config_of, tmp_path):
    public = named(
        KIND, "public", source=Tfds("zoo/kind:1.0.0", train="train", test="test")
    )
    register(public, SPELL)
    config = config_of(source="jsonl", data_dir=str(tmp_path))
    public_request, spell_request, *_ = run_requests(config, config.split())
    assert public_request.task.source == public.source.as_jsonl(f"{tmp_path}/public")
    assert spell_request.task.source == SPELL.source


def test_settings_are_checked_before_the_work(register, config_of, capsys):
    register(KIND)
    with pytest.raises(InputError, match="DATA_DIR is /nowhere"):
        prepare_mixture(config_of(data_dir="/nowhere"), PRACTICE)
    with pytest.raises(InputError, match="LENGTHS is"):
        prepare_evaluation(
            config_of(lengths={"inputs": 8}), ["toy_kind"], Prompts(), PRACTICE
        )


def test_extra_prompts_are_those_of_the_held_out_tasks(register, config_of):
    register(KIND, SPELL)
    extra = {"bare": Prompts(instructions="none")}
    data = prepare_mixture(config_of(held_out="zoo"), PRACTICE, extra)
    assert list(data.extra_evaluation) == ["bare"]
    assert list(data.extra_evaluation["bare"]) == [
        ("toy_kind", "validation"),
        ("toy_kind", "test"),
    ]
    bare = data.extra_evaluation["bare"]["toy_kind", "test"]
    assert (
        bare.meta["fingerprint"]
        != data.evaluation["toy_kind", "test"].meta["fingerprint"]
    )

    nothing_held_out = prepare_mixture(config_of(), PRACTICE, extra)
    tasks = {task for task, _ in nothing_held_out.extra_evaluation["bare"]}
    assert tasks == {"toy_kind", "toy_spell"}


def test_a_broken_task_is_an_error_or_left_out_whole(register, config_of):
    no_validation = dataclasses.replace(SPELL.source, validation=None)
    whole = dataclasses.replace(SPELL, source=no_validation)
    broken = named(SPELL, "broken", cluster="letters", source=BrokenTest())
    broken_held_out = named(KIND, "also_broken", source=BrokenTest())
    register(whole, broken, KIND, broken_held_out)
    with pytest.raises(InputError, match="the disk is on fire"):
        prepare_mixture(config_of(), PRACTICE)

    data = prepare_mixture(config_of(skip_broken=True, held_out="zoo"), PRACTICE)
    assert data.split.train == ("toy_spell",)
    assert data.split.held_out == ("toy_kind",)
    assert list(data.train) == ["toy_spell"], (
        "its training rows could be read, its test rows not"
    )
    assert {name for name, _ in data.evaluation} == {"toy_spell", "toy_kind"}
    reason = "its data could not be read, and DataConfig.skip_broken left it out"
    assert list(data.not_evaluated.items()) == [
        ("also_broken", reason),
        ("broken", reason),
    ]


@dataclasses.dataclass(frozen=True)
class BrokenTest(FailingRows):
    """Only the test split cannot be read."""

    def rows(self, split):
        return super().rows(split) if split == "test" else Rows.rows(self, split)


def test_evaluation_without_a_test_store_is_left_out(register, config_of, capsys):
    broken = named(SPELL, "broken", source=BrokenTest())
    register(KIND, broken)
    config = config_of(skip_broken=True)
    stores = prepare_evaluation(config, ["toy_kind", "broken"], Prompts(), PRACTICE)
    assert list(stores) == [("toy_kind", "validation"), ("toy_kind", "test")]


def test_only_the_splits_that_are_asked_for_are_read(register, config_of):
    register(KIND, named(SPELL, "tested", source=OnlyTest()))
    stores = prepare_evaluation(
        config_of(), ["tested", "toy_kind"], Prompts(), PRACTICE, test_only={"tested"}
    )
    assert list(stores) == [
        ("tested", "test"),
        ("toy_kind", "validation"),
        ("toy_kind", "test"),
    ]


def test_validation_examples_that_are_not_there(register, config_of, tmp_path):
    public = named(
        KIND,
        "public",
        source=Tfds("zoo/kind:1.0.0", validation="train[-2:]", test="test"),
    )
    none = named(SPELL, "none", source=Rows(validation=None))
    register(public, none, KIND)
    config = config_of(source="jsonl", data_dir=str(tmp_path))
    file = tmp_path / "public" / "train.jsonl"
    assert absent_validation(config, ["public", "none", "toy_kind"]) == {
        "public": f"no file {file} for the validation split; correct the path, which may be a glob"
    }
    file.parent.mkdir()
    file.write_text("{}\n")
    assert absent_validation(config, ["public"]) == {}


@dataclasses.dataclass(frozen=True)
class OnlyTest(Rows):
    """Any other split must not be touched."""

    def rows(self, split):
        assert split == "test"
        return super().rows(split)

    def fingerprint(self, split):
        assert split == "test"
        return super().fingerprint(split)


def test_tasks_that_cannot_be_evaluated(register):
    turned_around = (FormatTemplate("Name {animal}", "{answer}", turned_around=True),)
    register(
        KIND,
        named(KIND, "no_test", source=Rows(test=None)),
        named(KIND, "turned", templates=turned_around),
        named(KIND, "no_train", source=Rows(train=None)),
    )
    tasks = ["toy_kind", "no_test", "turned", "no_train"]
    gaps = {
        "no_test": "it has no test split",
        "turned": "all its templates are turned around",
    }
    assert evaluation_gaps(tasks, Prompts()) == gaps
    assert evaluation_gaps(tasks, Prompts(shots=1)) == gaps | {
        "no_train": "it has no training split to draw exemplars from"
    }


def test_gaps_are_printed_and_an_error_if_nothing_is_left(capsys):
    gaps = {"a": "it has no test split"}
    report_gaps(["b"], {})
    report_gaps([], gaps)
    report_gaps(["a", "b"], gaps)
    assert capsys.readouterr().err == "not evaluated:\n  a: it has no test split\n" * 2
    with pytest.raises(
        InputError, match="none of the tasks .*\n  a: it has no test split\nName"
    ):
        report_gaps(["a"], gaps)
    assert capsys.readouterr().err == ""


def test_a_run_goes_on_without_what_cannot_be_evaluated(register, config_of, capsys):
    register(KIND, named(KIND, "no_test", source=Rows(test=None)))
    data = prepare_mixture(config_of(), PRACTICE)
    assert set(data.train) == {"toy_kind", "no_test"}
    assert data.not_evaluated == {"no_test": "it has no test split"}
    assert (
        "not evaluated:\n  no_test: it has no test split\n" in capsys.readouterr().err
    )


def test_held_out_tasks_of_which_none_can_be_evaluated(register, config_of):
    register(SPELL, named(KIND, "no_test", cluster="dark", source=Rows(test=None)))
    with pytest.raises(
        InputError, match="none of the tasks to evaluate can be evaluated"
    ):
        prepare_mixture(config_of(held_out="dark"), PRACTICE)


def rows_on_disk(folder):
    """A source of JSON-lines files with the rows of KIND."""
    for split in ("train", "test"):
        lines = [json.dumps(row) for row in Rows().rows(split)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return Jsonl(train=str(folder / "train.jsonl"), test=str(folder / "test.jsonl"))


def test_real_rows_are_not_called_practice(register, config_of, capsys, tmp_path):
    """SOURCE is 'sandbox', but the tasks have a source of their own, which is what is read."""
    mine = named(KIND, "mine", source=rows_on_disk(tmp_path))
    register(mine)
    data = prepare_mixture(config_of(source="sandbox"), PRACTICE)
    assert data.train["mine"].meta["provenance"] == mine.source.provenance
    assert mine.source.provenance["kind"] == "files"
    assert "practice corpus" not in capsys.readouterr().err


def test_generated_rows_are_called_practice(register, config_of, capsys, tmp_path):
    made = named(KIND, "made", source=GeneratedRows())
    register(made)
    prepare_mixture(config_of(), PRACTICE)
    assert capsys.readouterr().err.startswith(
        "Data: the practice corpus, made by this program"
    )

    # Of several tasks, those with generated rows are named, held out or not.
    held_out = named(KIND, "held", cluster="cage", source=GeneratedRows())
    register(made, held_out, named(KIND, "mine", source=rows_on_disk(tmp_path)))
    prepare_mixture(config_of(held_out="cage"), PRACTICE)
    assert capsys.readouterr().err.startswith(
        "Data of held, made: the practice corpus, made by"
    )


def test_a_public_dataset_is_practice_with_the_source_sandbox(
    register, config_of, capsys
):
    register(named(get_task("rte"), "public"))
    data = prepare_mixture(config_of(examples_per_dataset=20), PRACTICE)
    assert data.train["public"].meta["provenance"] == {
        "kind": "generated",
        "where": "tasks.practice.nli.rte",
    }
    assert capsys.readouterr().err.startswith("Data: the practice corpus")


def test_texts_to_train_a_tokenizer_on(register, config_of, monkeypatch):
    monkeypatch.setattr(mixture_data, "TOKENIZER_EXAMPLES", 4)
    monkeypatch.setattr(mixture_data, "TOKENIZER_EXAMPLES_IN_ALL_TEMPLATES", 2)
    register(SPELL)
    texts = list(tokenizer_texts(config_of()))
    inputs, targets = texts[::2], texts[1::2]
    assert len(inputs) == 4 + 2 * len(SPELL.templates)
    assert {
        "Spell cat.",
        "The letters of cat:",
        "Spell dog.",
        "The letters of dog:",
    } <= {*inputs}
    assert {"c a t", "Letters: c a t"} <= {*targets}


def test_the_texts_for_a_tokenizer_are_of_the_runs_source_and_seed(
    register, config_of, tmp_path
):
    public = named(KIND, "public", source=Tfds("zoo/kind:1.0.0", train="train"))
    (tmp_path / "public").mkdir()
    rows_on_disk(tmp_path / "public")
    register(public)
    config = config_of(source="jsonl", data_dir=str(tmp_path))
    texts = list(tokenizer_texts(config))
    register(named(KIND, "public"))
    assert texts == list(tokenizer_texts(config))
    assert texts != list(tokenizer_texts(dataclasses.replace(config, seed=1)))
