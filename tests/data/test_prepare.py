import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import tokenizers
import toy_tasks
from stores import input_and_target_tokens
from toy_tasks import HERD, KIND, SPELL, FailingRows, Rows, generation

from flan_jax.data import prepare as prepare_module
from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request, Selection
from flan_jax.data.token_store import TOKENS
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.rendering import render_eval, render_train

TRAIN = Request(KIND, "train", "train")


def lists(ragged):
    return [ragged.row(i).tolist() for i in range(len(ragged.offsets) - 1)]


def with_eos(tokenizer, text):
    return [*tokenizer.encode(text), tokenizer.eos_id]


def folders(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.glob("*/*"))


def test_train_store(tokenizer, tmp_path):
    selection = Selection(cap=9, seed=3, renderings=2)
    stores = prepare(
        [TRAIN], RowTokenizer(tokenizer), tmp_path, selection=selection, workers=0
    )
    store = stores["toy_kind", "train", "train"]
    source_rows = KIND.source.rows("train")
    rows = list(render_train(KIND, source_rows, cap=9, renderings=2, seed=3))
    assert input_and_target_tokens(store) == (
        [with_eos(tokenizer, row.inputs) for row in rows],
        [with_eos(tokenizer, row.targets) for row in rows],
    )
    assert store.examples.tolist() == [row.example for row in rows]
    assert store.templates.tolist() == [row.template for row in rows]
    expected = {
        "task": "toy_kind",
        "split": "train",
        "kind": "train",
        "examples": 9,
        "filtered": 1,
        "rows": 18,
    }
    assert {key: store.meta[key] for key in expected} == expected


def test_eval_stores(tokenizer, tmp_path):
    requests = [Request(task, "test", "eval") for task in (KIND, SPELL)]
    stores = prepare(
        requests,
        RowTokenizer(tokenizer),
        tmp_path,
        selection=Selection(max_eval_examples=5),
        workers=0,
    )
    for task in (KIND, SPELL):
        store = stores[task.name, "test", "eval"]
        rows = list(render_eval(task, task.source.rows("test"), max_examples=5))
        assert store.meta["examples"] == 5
        assert lists(store.inputs) == [with_eos(tokenizer, row.inputs) for row in rows]
        assert store.correct_option.tolist() == [row.correct_option for row in rows]
        for i, row in enumerate(rows):
            options = [ids.tolist() for ids in store.options(i)]
            assert options == [with_eos(tokenizer, text) for text in row.options]
            assert store.references(i) == list(row.references)
            assert store.inputs_text(i) == row.inputs


@pytest.mark.parametrize("cap", [3, None])
def test_the_groups_of_an_eval_store(tokenizer, tmp_path, cap):
    """Groups have their size in the split; finding it counts no row as left out."""
    request = Request(HERD, "test", "eval")
    selection = Selection(max_eval_examples=cap)
    (store,) = prepare(
        [request], RowTokenizer(tokenizer), tmp_path, selection=selection, workers=0
    ).values()
    groups = [(store.group(row), store.group_rows(row)) for row in range(len(store))]
    sizes = {"666": 1, "667": 3, "668": 2, "669": 3, "670": 2, "671": 3, "672": 3}
    everything = [(name, size) for name, size in sizes.items() for _ in range(2 * size)]
    assert groups == everything[: len(store)]
    assert (store.meta["examples"], store.meta["filtered"]) == (
        (17, 3) if cap is None else (3, 0)
    )


def test_a_store_without_groups(tokenizer, tmp_path):
    request = Request(KIND, "test", "eval")
    (store,) = prepare([request], RowTokenizer(tokenizer), tmp_path, workers=0).values()
    assert (store.group(0), store.group_rows(0)) == (None, None)


def test_many_batches_are_one_store(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "ROWS_PER_BATCH", 3)
    settings = {"selection": Selection(renderings=2), "workers": 0}
    small = prepare([TRAIN], RowTokenizer(tokenizer), tmp_path / "a", **settings)[
        TRAIN.key
    ]
    monkeypatch.undo()
    large = prepare([TRAIN], RowTokenizer(tokenizer), tmp_path / "b", **settings)[
        TRAIN.key
    ]
    assert (small.folder / TOKENS).read_bytes() == (large.folder / TOKENS).read_bytes()
    assert small.meta == large.meta


def test_processes_give_the_same_stores(tokenizer, tmp_path, capfd):
    requests = [
        TRAIN,
        Request(SPELL, "train", "train"),
        Request(KIND, "validation", "eval"),
    ]
    one_process = prepare(
        requests, RowTokenizer(tokenizer), tmp_path / "one", workers=0
    )
    two_processes = prepare(
        requests, RowTokenizer(tokenizer), tmp_path / "two", workers=2
    )
    assert list(two_processes) == [request.key for request in requests]
    expected = [store.meta for store in one_process.values()]
    assert [store.meta for store in two_processes.values()] == expected
    assert "3/3" in capfd.readouterr().err


def test_workers_import_no_heavy_module(tokenizer, tmp_path):
    request = Request(generation("light", toy_tasks.imported_fields), "train", "eval")
    store = prepare([request], RowTokenizer(tokenizer), tmp_path, workers=1)[
        request.key
    ]
    assert store.references(0) == ["True"]


def test_tasks_that_cannot_be_pickled_are_built_in_this_process(tokenizer, tmp_path):
    tasks = [
        dataclasses.replace(KIND, name=f"toy_{i}", fields=lambda row: KIND.fields(row))
        for i in range(2)
    ]
    requests = [
        Request(tasks[0], "train", "train"),
        Request(SPELL, "train", "train"),
        Request(tasks[1], "train", "train"),
    ]
    stores = prepare(requests, RowTokenizer(tokenizer), tmp_path, workers=2)
    assert [len(store) for store in stores.values()] == [17, 13, 17]


def test_a_prepared_store_is_opened(tokenizer, tmp_path, monkeypatch):
    first = prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)[TRAIN.key]
    monkeypatch.setattr(prepare_module, "build", None)
    again = prepare([TRAIN, TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)[
        TRAIN.key
    ]
    assert again.folder == first.folder


def test_a_damaged_store_is_named(tokenizer, tmp_path):
    folder = prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)[
        TRAIN.key
    ].folder
    (folder / TOKENS).write_bytes(b"x")
    with pytest.raises(InputError, match=f"{folder} is damaged.*delete it"):
        prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)


def test_other_examples_are_another_store(tokenizer, tmp_path):
    prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)
    # Only evaluation stores depend on max_eval_examples.
    for selection in (Selection(max_eval_examples=3), Selection(seed=1)):
        prepare(
            [TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0, selection=selection
        )
    assert len(folders(tmp_path)) == 2


def test_a_source_without_provenance(tokenizer, tmp_path, monkeypatch):
    monkeypatch.delattr(Rows, "provenance")
    with pytest.raises(
        InputError, match=r"toy_kind/train \(train\): .*has no `provenance`"
    ):
        prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)
    assert folders(tmp_path) == []


BROKEN = {
    "typo": (
        generation("typo", toy_tasks.failing_fields),
        r"row 0: fields\(\) raised KeyError: 'anmial'",
    ),
    "empty": (
        generation("empty", toy_tasks.empty_fields),
        "row 5: the target .* empty text",
    ),
    "none": (
        generation("none", toy_tasks.no_fields),
        r"nothing to prepare in the train split: .* leaves out every row .20 read.",
    ),
    "rowless": (
        generation("rowless", toy_tasks.kind_fields, Rows(0)),
        "there are no rows",
    ),
    "fire": (
        generation("fire", toy_tasks.kind_fields, FailingRows()),
        "reading row 4 raised RuntimeError: the disk is on",
    ),
}


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_tasks_are_listed_and_the_others_prepared(tokenizer, tmp_path, workers):
    broken = [Request(task, "train", "train") for task, _ in BROKEN.values()]
    requests = [*broken, TRAIN]
    with pytest.raises(InputError) as caught:
        prepare(requests, RowTokenizer(tokenizer), tmp_path, workers=workers)
    assert "5 of 6 token stores cannot be prepared" in str(caught.value)
    assert "--gin.DataConfig.skip_broken=True" in str(caught.value)
    for name, (_, reason) in BROKEN.items():
        assert caught.match(f"{name}/train \\(train\\): .*{reason}")
    assert [folder.split("/")[0] for folder in folders(tmp_path)] == ["toy_kind"]


def test_skip_broken(tokenizer, tmp_path, capfd):
    requests = [
        TRAIN,
        Request(BROKEN["typo"][0], "train", "train"),
        Request(KIND, "nonsense", "eval"),
    ]
    stores = prepare(
        requests, RowTokenizer(tokenizer), tmp_path, workers=0, skip_broken=True
    )
    assert list(stores) == [TRAIN.key]
    shown = capfd.readouterr().err
    assert "left out" in shown
    assert "typo/train (train): " in shown
    assert "toy_kind/nonsense (eval): unknown split" in shown


def test_skip_broken_leaves_something_to_train_on(tokenizer, tmp_path):
    requests = [
        Request(BROKEN["typo"][0], "train", "train"),
        Request(KIND, "test", "eval"),
    ]
    with pytest.raises(InputError, match="nothing is left to train on.*\n.*typo/train"):
        prepare(
            requests, RowTokenizer(tokenizer), tmp_path, workers=0, skip_broken=True
        )


def test_two_tasks_of_one_name(tokenizer, tmp_path):
    other = Request(dataclasses.replace(SPELL, name="toy_kind"), "train", "train")
    with pytest.raises(InputError, match="two different tasks are named 'toy_kind'"):
        prepare([TRAIN, other], RowTokenizer(tokenizer), tmp_path, workers=0)


def test_workers_cannot_be_negative(tokenizer, tmp_path):
    with pytest.raises(InputError, match="workers is -1"):
        prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=-1)


def test_a_target_that_the_tokenizer_drops(tokenizer, tmp_path):
    task = generation("invisible", lambda row: {"animal": "cat", "answer": "\u200b"})
    with pytest.raises(InputError, match="row 0: the tokenizer drops the whole target"):
        prepare(
            [Request(task, "train", "train")],
            RowTokenizer(tokenizer),
            tmp_path,
            workers=0,
        )


@pytest.mark.parametrize("options", [["no", "yes", "ｙｅｓ"], ["no", "a b", "a  b"]])
def test_options_that_the_tokenizer_cannot_tell_apart(tokenizer, tmp_path, options):
    """It normalizes full-width letters and spaces, as T5's does."""
    fields = {"animal": "cat", "answer": "no", "choices": options}
    task = generation("alike", lambda row: fields)
    task = dataclasses.replace(task, options="choices")
    with pytest.raises(InputError, match="row 0: the options .* the same tokens"):
        prepare(
            [Request(task, "test", "eval")],
            RowTokenizer(tokenizer),
            tmp_path,
            workers=0,
        )


def test_a_killed_worker_is_reported_by_its_task(tokenizer, tmp_path):
    killing = dataclasses.replace(KIND, name="killing", fields=toy_tasks.killing_fields)
    requests = [
        TRAIN,
        Request(killing, "train", "train"),
        *(Request(SPELL, s, "eval") for s in ("train", "test")),
    ]
    with pytest.raises(
        InputError,
        match=r"1 of 4 .*\n  killing/train \(train\): its worker process was killed",
    ):
        prepare(requests, RowTokenizer(tokenizer), tmp_path, workers=2)
    assert [folder.split("/")[0] for folder in folders(tmp_path)] == [
        "toy_kind",
        "toy_spell",
        "toy_spell",
    ]


SCRIPT = """
import dataclasses, signal, sys
print("main script runs", flush=True)
import toy_tasks
from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.data.tokenizers import load_tokenizer

def fields(row):
    return {"animal": row["animal"], "answer": "main"}

if __name__ == "__main__":
    # A shell's background jobs ignore Ctrl-C, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tokenizer, cache, mode = load_tokenizer(sys.argv[1]), sys.argv[2], sys.argv[3]
    tasks = [dataclasses.replace(toy_tasks.KIND, name=f"t{i}") for i in range(6)]
    if mode == "slow":
        tasks = [dataclasses.replace(task, fields=toy_tasks.slow_fields) for task in tasks]
    if mode == "main":
        tasks.append(toy_tasks.generation("main", fields))
    requests = [Request(task, "train", "train") for task in tasks]
    stores = prepare(requests, RowTokenizer(tokenizer), cache, workers=2)
    print(len(stores), "stores")
"""


@pytest.fixture
def script(tokenizer, tmp_path):
    """script(mode) -> a started process that prepares some stores."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def start(mode):
        command = [
            sys.executable,
            str(tmp_path / "script.py"),
            tokenizer.path,
            str(tmp_path / "cache"),
            mode,
        ]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_workers_do_not_run_the_main_script(script):
    out, err = script("main").communicate(timeout=60)
    assert out.splitlines() == ["main script runs", "7 stores"], err


def test_two_programs_at_once(script, tmp_path):
    programs = [script("quick") for _ in range(2)]
    for program in programs:
        out, err = program.communicate(timeout=60)
        assert out.splitlines() == ["main script runs", "6 stores"], err
    assert len(folders(tmp_path / "cache")) == 6


def running_workers(program):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        workers = [
            child
            for child in psutil.Process(program.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        if len(workers) == 2:
            return workers
        time.sleep(0.1)
    raise AssertionError("no workers were started")


def test_workers_end_with_a_killed_parent(script):
    program = script("slow")
    workers = running_workers(program)
    program.kill()
    program.communicate()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


@pytest.mark.parametrize("seconds", [0, 0.3, 1.5])
def test_ctrl_c_shows_no_tracebacks_of_workers(script, seconds):
    """Whether the workers are still starting or at work; nor is their work waited for."""
    program = script("slow")
    workers = running_workers(program)
    time.sleep(seconds)
    for process in (*workers, program):  # as a terminal does
        process.send_signal(signal.SIGINT)
    _, err = program.communicate()
    assert program.returncode != 0
    assert err.count("Traceback") <= 1
    assert "KeyboardInterrupt" in err


def test_unknown_tokens_are_warned_of_once_a_task(tmp_path, capsys):
    words = [
        "does",
        "a",
        "cat",
        "number",
        "fly",
        "options",
        "yes",
        "no",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "?",
        "-",
        ":",
    ]
    model = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {word: number for number, word in enumerate(["<unk>", "</s>", *words])},
            unk_token="<unk>",
        )
    )
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.add_special_tokens(["<unk>", "</s>"])
    model.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    requests = [TRAIN, Request(KIND, "test", "eval")]
    for _ in range(2):  # built, and read from the cache
        stores = prepare(requests, RowTokenizer(tokenizer), tmp_path / "c", workers=0)
        warnings = [
            line
            for line in capsys.readouterr().err.splitlines()
            if "unknown to the tokenizer" in line
        ]
        assert len(warnings) == 1
        share = stores[TRAIN.key].meta["unknown_share"]
        tokens = stores[TRAIN.key].segments.tokens.values
        assert share == pytest.approx(np.mean(tokens == 0)) and share > 0.1
        assert f"task 'toy_kind': {share:.1%} of the tokens are unknown" in warnings[0]
        assert "'D'" in warnings[0] and "'c'" in warnings[0]


def test_known_tokens_are_not_warned_of(tokenizer, tmp_path, capsys):
    prepare([TRAIN], RowTokenizer(tokenizer), tmp_path, workers=0)
    assert "unknown to the tokenizer" not in capsys.readouterr().err
