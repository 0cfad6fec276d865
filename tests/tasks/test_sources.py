import dataclasses
import json
import os
import shutil
import time

import numpy as np
import pytest
from stores import input_and_target_tokens

from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.errors import InputError
from flan_jax.tasks.practice_world import Sandbox
from flan_jax.tasks.sources import Jsonl, Source, Tfds, check_source, check_split
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import FormatTemplate
from tasks.practice.nli import rte


@pytest.fixture
def files(tmp_path):
    """Two files of three rows and one of two."""
    for name, numbers in {
        "train-1": (0, 1, 2),
        "train-2": (3, 4, 5),
        "test": (6, 7),
    }.items():
        lines = [
            json.dumps({"number": n, "text": "ü\u2028"}, ensure_ascii=False)
            for n in numbers
        ]
        (tmp_path / f"{name}.jsonl").write_text(
            "\n".join(lines) + "\n\n", encoding="utf-8"
        )
    return tmp_path


def numbers(source, split):
    return [row["number"] for row in source.rows(split)]


@pytest.mark.parametrize(
    "lines, want",
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("[:2]", [0, 1]),
        ("[:-2]", [0, 1, 2, 3]),
        ("[-2:]", [4, 5]),
        ("[1:3]", [1, 2]),
        ("[:6]", [0, 1, 2, 3, 4, 5]),
        ("[-6:]", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_jsonl(files, lines, want):
    assert numbers(Jsonl(train=f"{files}/train-*.jsonl{lines}"), "train") == want


def test_jsonl_row(files):
    assert next(iter(Jsonl(test=f"{files}/test.jsonl").rows("test"))) == {
        "number": 6,
        "text": "ü\u2028",
    }


def test_jsonl_home_folder(files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    assert numbers(Jsonl(test="~/test.jsonl"), "test") == [6, 7]


def test_jsonl_fingerprint(files):
    source = Jsonl(train=f"{files}/train-*.jsonl", test=f"{files}/test.jsonl[:1]")
    before = source.fingerprint("train"), source.fingerprint("test")
    assert before == (source.fingerprint("train"), source.fingerprint("test"))
    assert before[1] != Jsonl(test=f"{files}/test.jsonl").fingerprint("test")
    (files / "train-3.jsonl").write_text('{"number": 8}')
    assert before[0] != source.fingerprint("train")
    assert before[1] == source.fingerprint("test")


def test_jsonl_files_that_changed(tmp_path, monkeypatch):
    """The same relative path in two folders; in each a file as large and as old as the other."""
    source = Jsonl(train="x.jsonl")

    def fingerprint(folder, content, seconds):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        file = tmp_path / folder / "x.jsonl"
        file.write_text(content)
        os.utime(file, (seconds, seconds))
        return source.fingerprint("train")

    first = fingerprint("a", "{}", 1000)
    assert fingerprint("a", "{}", 1000) == first
    others = [
        fingerprint("a", "{} ", 1000),
        fingerprint("a", "{}", 1001),
        fingerprint("b", "{}", 1000),
    ]
    assert len({first, *others}) == 4


def test_jsonl_files_are_read_in_the_order_of_their_names(tmp_path):
    letters = "qwertyuiopasdfghjklzxcvbnm"
    for letter in letters:
        (tmp_path / f"{letter}.jsonl").write_text(json.dumps({"number": letter}))
    assert numbers(Jsonl(train=f"{tmp_path}/*.jsonl"), "train") == sorted(letters)


def test_provenance():
    split_files = Jsonl(
        train="a/*.jsonl[:-9]", validation="a/*.jsonl[-9:]", test="b.jsonl"
    )
    assert split_files.provenance == {"kind": "files", "where": "a/*.jsonl, b.jsonl"}
    tfds = Tfds("glue/sst2:2.0.0", train="train", data_dir="/data")
    assert tfds.provenance == {"kind": "tfds", "where": "glue/sst2:2.0.0"}
    assert tfds.as_jsonl("/rows").provenance == {
        "kind": "files",
        "where": "/rows/train.jsonl",
    }
    assert Sandbox(rte).provenance == {
        "kind": "generated",
        "where": "tasks.practice.nli.rte",
    }
    for source in (split_files, tfds, Sandbox(rte)):
        assert isinstance(source, Source)


@pytest.mark.parametrize(
    "content, message",
    [
        (b'{"number": 1}\n{"number"', "bad.jsonl:2 is not JSON"),
        (b"[1]", "bad.jsonl:1 is a JSON list, not an object"),
        (b"\x1f\x8b\x08\xff", "bad.jsonl:1 is not UTF-8 text: decompress"),
    ],
)
def test_jsonl_bad_lines(tmp_path, content, message):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(Jsonl(train=f"{tmp_path}/bad.jsonl").rows("train"))


def test_jsonl_missing(tmp_path):
    for method in ("rows", "fingerprint"):
        with pytest.raises(
            InputError, match="no file .*gone.jsonl for the train split"
        ):
            list(getattr(Jsonl(train=f"{tmp_path}/gone.jsonl"), method)("train"))
        with pytest.raises(InputError, match=r"write Jsonl\(test='path.jsonl'"):
            list(getattr(Jsonl(train="x.jsonl"), method)("test"))


def test_check_split():
    assert check_split("test") == "test"
    with pytest.raises(InputError, match="unknown split 'dev'"):
        check_split("dev")


@pytest.mark.parametrize(
    "name", ["glue/sst2", "sst2", "glue/sst2:2", "glue/sst2:1.*.*"]
)
def test_tfds_names_have_versions(name):
    with pytest.raises(InputError, match="needs its version"):
        Tfds(name, train="train")


def test_tfds_as_jsonl():
    source = Tfds("zoo/kind:1.0.0", train="train[:-2]", test="validation")
    assert source.as_jsonl("/d") == Jsonl(
        train="/d/train.jsonl[:-2]", test="/d/validation.jsonl"
    )


def test_a_size_of_a_split_may_have_a_file_of_its_own(tmp_path):
    source = Tfds("zoo/kind:1.0.0", train="train_xl[:5]", validation="train_xl[5:]")
    large, whole = f"{tmp_path}/train_xl.jsonl", f"{tmp_path}/train.jsonl"

    def files():
        jsonl = source.as_jsonl(str(tmp_path))
        return jsonl.train, jsonl.validation

    assert files() == (f"{large}[:5]", f"{large}[5:]")
    (tmp_path / "train.jsonl").touch()
    assert files() == (f"{whole}[:5]", f"{whole}[5:]")
    (tmp_path / "train_xl.jsonl").touch()
    assert files() == (f"{large}[:5]", f"{large}[5:]")


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    """A real TFDS dataset of ten rows, prepared on disk."""
    import tensorflow_datasets as tfds

    class FlanJaxToy(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            choices = tfds.features.Sequence(
                {"text": tfds.features.Text(), "label": tfds.features.Text()}
            )
            features = {
                "number": np.int32,
                "text": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["no", "yes"]),
                "score": np.float32,
                "flag": np.bool_,
                "names": tfds.features.Sequence(tfds.features.Text()),
                "choices": choices,
                "groups": tfds.features.Sequence(tfds.features.Sequence(np.int32)),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(10):
                choices = [{"text": f"t{i}", "label": "AB"[i]} for i in range(2)]
                yield (
                    number,
                    {
                        "number": number,
                        "text": "größer",
                        "label": number % 2,
                        "score": 0.5,
                        "flag": True,
                        "names": ["x", "y"][: number % 3],
                        "choices": choices,
                        "groups": [[1], [2, 3]],
                    },
                )

    folder = tmp_path_factory.mktemp("tfds")
    FlanJaxToy(data_dir=str(folder)).download_and_prepare()
    return str(folder)


def toy(tfds_folder, **splits):
    return Tfds("flan_jax_toy:1.0.0", data_dir=tfds_folder, **splits)


def test_tfds_rows_are_plain_python(tfds_folder):
    row = next(
        row
        for row in toy(tfds_folder, train="train").rows("train")
        if row["number"] == 1
    )
    assert row == {
        "number": 1,
        "text": "größer",
        "label": 1,
        "score": 0.5,
        "flag": True,
        "names": ["x"],
        "choices": {"text": ["t0", "t1"], "label": ["A", "B"]},
        "groups": [[1], [2, 3]],
    }
    assert json.loads(json.dumps(row)) == row
    assert type(row["label"]) is int


def test_tfds_slices_share_no_row(tfds_folder):
    source = toy(
        tfds_folder, train="train[:-3]", validation="train[-3:]", test="train[50%:60%]"
    )
    train, validation = numbers(source, "train"), numbers(source, "validation")
    assert (len(train), len(validation)) == (7, 3)
    assert sorted(train + validation) == list(range(10))
    assert len(numbers(source, "test")) == 1
    assert numbers(source, "train") == train


def test_tfds_missing_splits(tfds_folder):
    with pytest.raises(InputError, match="has no test split"):
        numbers(toy(tfds_folder, train="train"), "test")
    with pytest.raises(
        InputError, match="'dev' of 'flan_jax_toy:1.0.0' cannot be read"
    ):
        numbers(toy(tfds_folder, train="dev"), "train")


@pytest.mark.parametrize("expression", ["train[:11]", "train[-11:]", "train[4:12]"])
def test_slices_larger_than_the_split(tfds_folder, tmp_path, expression):
    with pytest.raises(InputError, match="cannot be read.*10 examples"):
        numbers(toy(tfds_folder, train=expression), "train")
    (tmp_path / "train.jsonl").write_text("{}\n" * 10)
    with pytest.raises(InputError, match="lines, but there are 10"):
        list(
            Jsonl(
                train=f"{tmp_path}/train.jsonl{expression.removeprefix('train')}"
            ).rows("train")
        )


def test_tfds_fingerprint():
    source = Tfds("zoo/kind:1.0.0", train="train[:3]", test="test")
    others = [
        dataclasses.replace(source, name="zoo/kind:1.0.1"),
        dataclasses.replace(source, train="train[:4]"),
        dataclasses.replace(source, data_dir="/data"),
    ]
    fingerprints = {other.fingerprint("train") for other in [source, *others]}
    assert len(fingerprints) == 4
    assert dataclasses.replace(source, test=None).fingerprint("train") in fingerprints
    assert source.fingerprint("test") not in fingerprints


@pytest.mark.parametrize("name", ["super_glue/rte:1.0.2", "glue/sst2:2.0.0"])
def test_tfds_data_that_are_not_on_disk(tmp_path, name):
    import tensorflow_datasets  # noqa: F401 (its import is not what is timed)

    start = time.monotonic()
    with pytest.raises(
        InputError,
        match=f"(?s){name} is not on disk in {tmp_path}.*tfds build {name} --data_dir={tmp_path}",
    ):
        list(Tfds(name, train="train", data_dir=str(tmp_path)).rows("train"))
    assert time.monotonic() - start < 20  # no attempt to download
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("super_glue/rte:7.0.0", "cannot be loaded at version 7.0.0, only: 1.0.2"),
        ("super_glue/nope:1.0.2", "closely match: axb:1.0.2 axg:1.0.2 .*rte:1.0.2"),
        ("glu/sst2:1.0.0", "Did you mean: glu -> glue .* No version matching"),
    ],
)
def test_tfds_unknown_names(tmp_path, name, hint):
    with pytest.raises(
        InputError, match=f"TFDS does not know '{name}': .*{hint}"
    ) as caught:
        list(Tfds(name, train="train", data_dir=str(tmp_path)).rows("train"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_tfds_files_that_are_cut_off(tfds_folder, tmp_path):
    shutil.copytree(tfds_folder, tmp_path / "cut")
    (records,) = (tmp_path / "cut").rglob("*.tfrecord*")
    records.write_bytes(records.read_bytes()[:-5])
    with pytest.raises(
        InputError,
        match="'train' of 'flan_jax_toy:1.0.0' cannot be read: .*truncated record",
    ):
        numbers(toy(str(tmp_path / "cut"), train="train"), "train")


def test_a_bucket_without_permission_says_what_to_ask_for(monkeypatch):
    """What TensorFlow raises of Google Cloud's 403; there is no bucket to ask."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def refuse(*_, **__):
        raise tf.errors.PermissionDeniedError(None, None, "HTTP response code 403")

    monkeypatch.setattr(tfds, "builder", refuse)
    source = Tfds("super_glue/rte:1.0.2", train="train", data_dir="gs://bucket/tfds")
    with pytest.raises(
        InputError,
        match="(?s)cannot be read from gs://bucket/tfds: .*403.*Storage Object Viewer",
    ):
        list(source.rows("train"))


def toy_fields(row):
    return {
        "text": row["text"],
        "names": ", ".join(row["names"]),
        "answer": ("no", "yes")[row["label"]],
    }


def test_stores_are_prepared_from_tfrecords(tfds_folder, tokenizer, tmp_path):
    """What TFDS's own download_and_prepare wrote, by way of worker processes, to tokens."""
    source = toy(
        tfds_folder, train="train[:-4]", validation="train[-4:-2]", test="train[-2:]"
    )
    task = TemplatedTask(
        name="tfds_toy", cluster="toy", source=source, fields=toy_fields, options=("no", "yes"),
        templates=(FormatTemplate("{text}: {names}.\n{options}"),),
    )  # fmt: skip
    requests = [
        Request(task, split, kind)
        for split, kind in (
            ("train", "train"),
            ("validation", "eval"),
            ("test", "eval"),
        )
    ]
    stores = prepare(requests, RowTokenizer(tokenizer), tmp_path, workers=1)
    assert [len(store) for store in stores.values()] == [6, 2, 2]
    for (_, split, _), store in stores.items():
        wanted = []
        for row in source.rows(split):
            text, _ = task.templates[0].render(task.example(row))
            wanted.append([*tokenizer.encode(text), tokenizer.eos_id])
        inputs, _ = input_and_target_tokens(store)
        assert inputs == wanted


@pytest.mark.parametrize("member", ["rows", "fingerprint", "provenance"])
def test_a_source_that_lacks_a_member_is_refused(member):
    members = {"rows": 1, "fingerprint": 2, "provenance": 3}
    del members[member]
    source = type("Lacking", (), members)()
    message = f"'mine': its source, of the class Lacking, has no {member}. A source"
    with pytest.raises(InputError, match=message):
        check_source("mine", source)
    check_source("mine", Jsonl(train="x.jsonl"))


def test_a_source_whose_methods_take_other_arguments_is_refused():
    class Rows:
        provenance = {"kind": "mine"}  # noqa: RUF012

        def rows(self):
            return iter(())

        def fingerprint(self, split):
            return split

    with pytest.raises(
        InputError, match=r"'mine': Rows.rows will be called with \(spli"
    ):
        check_source("mine", Rows())
