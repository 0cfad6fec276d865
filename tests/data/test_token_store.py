import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import segment_batch, write_segments

from flan_jax import json_files
from flan_jax.data.token_store import (
    META,
    STORE_VERSION,
    TOKENS,
    TokenStore,
    cut,
    nested_column,
    schema,
    token_column,
    write_store,
)
from flan_jax.errors import InputError
from flan_jax.json_files import remove_abandoned_folders

VOCAB = 1000
PAIR = [([1, 2], False), ([4], True)]
TOKEN_LISTS = st.lists(st.integers(0, VOCAB - 1), max_size=9)
EXAMPLES = st.lists(
    st.lists(st.tuples(TOKEN_LISTS, st.booleans()), max_size=4), max_size=20
)


def write(folder, examples=(PAIR, [([3], False), ([5, 6], True)])):
    return write_segments(folder, examples, vocab_size=VOCAB)


def lists(ragged):
    return [ragged.row(i).tolist() for i in range(len(ragged.offsets) - 1)]


def examples_of(store):
    """The examples of a store, as they are given to `write`."""
    return [
        [
            (segment.tokens.tolist(), segment.has_loss)
            for segment in store.segments.example(i)
        ]
        for i in range(len(store))
    ]


@given(EXAMPLES, st.integers(1, 4), st.sampled_from([1000, 65_536, 65_537]))
def test_what_is_written_is_read(examples, pieces, vocab_size):
    with tempfile.TemporaryDirectory() as folder:
        parts = [examples[i::pieces] for i in range(pieces)]
        batches = [segment_batch(part, vocab_size) for part in parts]
        write_store(
            Path(folder, "s"), batches, schema=schema("train", vocab_size), meta={}
        )
        store = TokenStore.open(Path(folder, "s"))
        written = [example for part in parts for example in part]
        assert len(store) == len(written)
        assert examples_of(store) == written
        segments = store.segments
        assert segments.tokens.lengths.dtype == np.int64
        assert segments.tokens.lengths.tolist() == [
            len(tokens) for example in written for tokens, _ in example
        ]
        assert np.diff(segments.starts).tolist() == [
            len(example) for example in written
        ]
        assert segments.tokens.values.dtype == (
            np.uint16 if vocab_size <= 65_536 else np.uint32
        )
        assert store.examples.tolist() == [
            i for part in parts for i in range(len(part))
        ]
        assert store.templates.tolist() == [
            i % 3 for part in parts for i in range(len(part))
        ]


def test_token_arrays_are_views_of_the_file(tmp_path):
    before = pa.total_allocated_bytes()
    example = [([7] * 100_000, False), ([8], True)]
    store = TokenStore.open(write(tmp_path / "s", [example] * 10))
    tokens = store.segments.tokens
    assert tokens.values.sum() == 7_000_080
    for array in (tokens.values, tokens.offsets, store.segments.starts):
        assert not array.flags.owndata
        assert not array.flags.writeable
    assert tokens.offsets.dtype == np.int64
    assert pa.total_allocated_bytes() - before < 100_000


def test_eval_columns(tmp_path):
    columns = schema("eval", VOCAB)
    options = [[[1, 2], [3]], [], [[4]]]
    flat = token_column([tokens for row in options for tokens in row], VOCAB)
    batch = pa.record_batch(
        [
            token_column([[1], [2], [3]], VOCAB),
            token_column([[4], [5], [6]], VOCAB),
            pa.array([0, 1, 2], pa.int32()),
            pa.array([0, 1, 2], pa.int16()),
            nested_column(options, flat),
            pa.array([1, -1, 0], pa.int16()),
            pa.array([[1, 0], [], [0]], columns.field("correct_options").type),
            pa.array([["a"], ["b", "ü"], ["c"]], columns.field("references").type),
            pa.array(["x", "y\n", "z"], columns.field("inputs_text").type),
            pa.array(["g/1", None, "ü"], columns.field("group").type),
            pa.array([4, None, 1], pa.int32()),
        ],
        columns,
    )
    write_store(tmp_path / "s", [batch, batch], schema=columns, meta={})
    store = TokenStore.open(tmp_path / "s")
    assert lists(store.inputs) == [[1], [2], [3]] * 2
    assert lists(store.targets) == [[4], [5], [6]] * 2
    assert [
        [tokens.tolist() for tokens in store.options(i)] for i in range(6)
    ] == options * 2
    assert store.correct_option.tolist() == [1, -1, 0] * 2
    assert [store.correct_options(row) for row in (0, 1, 5)] == [[1, 0], [], [0]]
    assert store.references(4) == ["b", "ü"]
    assert store.inputs_text(1) == "y\n"
    assert [store.group(row) for row in (0, 1, 5)] == ["g/1", None, "ü"]
    assert [store.group_rows(row) for row in (0, 1, 5)] == [4, None, 1]


def test_meta(tmp_path):
    store = TokenStore.open(write(tmp_path / "s"))
    assert {key: store.meta[key] for key in ("task", "rows", "version")} == {
        "task": "s",
        "rows": 2,
        "version": STORE_VERSION,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


@given(
    st.lists(st.integers(0, 9), max_size=8),
    st.lists(st.integers(10, 19), max_size=3),
    st.integers(3, 10),
)
def test_a_cut_leaves_the_tail(tokens, tail, length):
    shortened = cut(np.array([*tokens, *tail], np.uint16), length, tail)
    assert shortened.tolist() == tokens[: length - len(tail)] + tail
    assert shortened.dtype == np.uint16


@pytest.mark.parametrize("token", [VOCAB, -1, 70_000])
def test_a_token_outside_the_vocabulary(token):
    with pytest.raises(InputError, match=f"but its vocabulary has {VOCAB}"):
        token_column([[1], [token]], VOCAB)


def test_the_last_token_of_the_vocabulary():
    assert token_column([[VOCAB - 1, 0]], VOCAB).to_pylist() == [[VOCAB - 1, 0]]


def test_every_flipped_byte_is_found(tmp_path):
    file = write(tmp_path / "s") / TOKENS
    content = file.read_bytes()
    message = f"{tmp_path}/s is damaged.*checksum.*delete it; the same command prepares it again"
    for position in range(0, len(content), 17):
        damaged = bytearray(content)
        damaged[position] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=message):
            TokenStore.open(tmp_path / "s")
    file.write_bytes(content)
    assert len(TokenStore.open(tmp_path / "s")) == 2


def test_damaged_folders(tmp_path):
    folder = write(tmp_path / "s")
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(meta | {"version": 0}))
    with pytest.raises(InputError, match=f"of version 0, not {STORE_VERSION}"):
        TokenStore.open(folder)
    (folder / META).write_text("{}")
    with pytest.raises(InputError, match="incomplete"):
        TokenStore.open(folder)
    (folder / META).write_text('{"ro')
    with pytest.raises(InputError, match="not JSON"):
        TokenStore.open(folder)
    (folder / META).write_text(json.dumps(meta))
    content = (folder / TOKENS).read_bytes()
    (folder / TOKENS).write_bytes(content[:-5])
    with pytest.raises(
        InputError, match=f"has {len(content) - 5} bytes, not {len(content)}"
    ):
        TokenStore.open(folder)
    (folder / TOKENS).unlink()
    with pytest.raises(InputError, match="is missing"):
        TokenStore.open(folder)
    with pytest.raises(InputError, match="no token store"):
        TokenStore.open(tmp_path / "none")


def test_the_first_of_two_writers_wins(tmp_path):
    first, second = [[([1], True)]], [[([2], True)]]
    write(tmp_path / "s", first)
    write(tmp_path / "s", second)
    assert examples_of(TokenStore.open(tmp_path / "s")) == first
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_folder_without_a_store_is_an_error(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").touch()
    with pytest.raises(OSError, match="cannot write the token store"):
        write(tmp_path / "s")


def test_many_writers_at_once(tmp_path):
    threads = [threading.Thread(target=write, args=(tmp_path / "s",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(TokenStore.open(tmp_path / "s")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_disk_full(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(json_files, "_sync", full)
    message = "cannot write the token store: No space left on device.*/cache/s"
    with pytest.raises(OSError, match=message) as caught:
        write(tmp_path / "cache" / "s")
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "cache").iterdir()) == []


WRITER = """
import resource, sys, time
from pathlib import Path
from flan_jax import json_files
from stores import write_segments

folder, mode = Path(sys.argv[1]), sys.argv[2]
if mode == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
else:
    def stop(path):
        print("writing", flush=True)
        time.sleep(100)
    json_files._sync = stop
try:
    write_segments(folder, [[([1] * 100_000, True)]], vocab_size=10)
except OSError as error:
    print(error)
"""


def writer(folder, mode):
    """Starts a process that writes a store."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(folder), mode]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_file_size_limit_leaves_nothing(tmp_path):
    with writer(tmp_path / "s", "limit") as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    assert "cannot write the token store: File too large" in output
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_only_what_the_next_one_removes(tmp_path):
    with writer(tmp_path / "s", "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        remove_abandoned_folders(tmp_path)
        (left,) = tmp_path.iterdir()
        assert left.name.startswith("s.tmp-")  # its writer lives, so it stays
        process.send_signal(signal.SIGKILL)
    (tmp_path / "s.tmp-1-0123abcd-another.machine").mkdir()
    write(tmp_path / "s")
    assert len(TokenStore.open(tmp_path / "s")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "s",
        "s.tmp-1-0123abcd-another.machine",
    ]
