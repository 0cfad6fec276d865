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
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_jax.data import token_store as store_module
from flan_jax.data.token_store import (
    META,
    TOKENS,
    TokenStore,
    nested_column,
    remove_abandoned,
    schema,
    token_column,
    trim_and_append_eos,
    write_store,
)
from flan_jax.errors import InputError

VOCAB = 1000
ROWS = st.lists(st.lists(st.integers(0, VOCAB - 1), max_size=9), max_size=20)


def train_batch(inputs, targets, vocab_size=VOCAB):
    numbers = range(len(inputs))
    arrays = [token_column(inputs, vocab_size), token_column(targets, vocab_size)]
    arrays += [pa.array(numbers, pa.int32()), pa.array([i % 3 for i in numbers], pa.int16())]
    return pa.record_batch(arrays, schema("train", vocab_size))


def write(folder, inputs=((1, 2), (3,)), targets=((4,), (5, 6)), vocab_size=VOCAB):
    batch = train_batch(inputs, targets, vocab_size)
    write_store(folder, [batch], schema=batch.schema, meta={"task": "toy"})
    return folder


def lists(ragged):
    return [ragged.row(i).tolist() for i in range(len(ragged.offsets) - 1)]


@settings(deadline=None)
@given(ROWS, st.integers(1, 4), st.sampled_from([1000, 65_536, 65_537]))
def test_what_is_written_is_read(rows, pieces, vocab_size):
    with tempfile.TemporaryDirectory() as folder:
        cuts = [rows[i::pieces] for i in range(pieces)]
        batches = [train_batch(cut, [row[::-1] for row in cut], vocab_size) for cut in cuts]
        write_store(Path(folder, "s"), batches, schema=schema("train", vocab_size), meta={})
        store = TokenStore.open(Path(folder, "s"))
        rows = [row for cut in cuts for row in cut]
        assert len(store) == len(rows)
        assert lists(store.inputs) == rows
        assert lists(store.targets) == [row[::-1] for row in rows]
        assert store.input_lengths.tolist() == [len(row) for row in rows]
        assert store.target_lengths.dtype == np.int64
        assert store.inputs.values.dtype == (np.uint16 if vocab_size <= 65_536 else np.uint32)
        assert store.examples.tolist() == [i for cut in cuts for i in range(len(cut))]
        assert store.templates.tolist() == [i % 3 for cut in cuts for i in range(len(cut))]


def test_views_are_of_the_file(tmp_path):
    before = pa.total_allocated_bytes()
    store = TokenStore.open(write(tmp_path / "s", [[7] * 100_000] * 10, [[8]] * 10))
    assert store.inputs.values.sum() == 7_000_000
    assert not store.inputs.values.flags.owndata
    assert not store.inputs.values.flags.writeable
    assert store.inputs.offsets.dtype == np.int64
    assert pa.total_allocated_bytes() - before < 100_000


def test_eval_columns(tmp_path):
    columns = schema("eval", VOCAB)
    options = [[[1, 2], [3]], [], [[4]]]
    flat = token_column([tokens for row in options for tokens in row], VOCAB)
    batch = pa.record_batch(
        [
            *train_batch([[1], [2], [3]], [[4], [5], [6]]).columns,
            nested_column(options, flat),
            pa.array([1, -1, 0], pa.int16()),
            pa.array([[1, 0], [], [0]], columns.field("right").type),
            pa.array([["a"], ["b", "ü"], ["c"]], columns.field("references").type),
            pa.array(["x", "y\n", "z"], columns.field("inputs_text").type),
        ],
        columns,
    )
    write_store(tmp_path / "s", [batch, batch], schema=columns, meta={})
    store = TokenStore.open(tmp_path / "s")
    assert [[tokens.tolist() for tokens in store.options(i)] for i in range(6)] == options * 2
    assert store.answers.tolist() == [1, -1, 0] * 2
    assert [store.right(row) for row in (0, 1, 5)] == [[1, 0], [], [0]]
    assert store.references(4) == ["b", "ü"]
    assert store.inputs_text(1) == "y\n"


def test_meta(tmp_path):
    store = TokenStore.open(write(tmp_path / "s"))
    assert {key: store.meta[key] for key in ("task", "rows", "version")} == {
        "task": "toy",
        "rows": 2,
        "version": 2,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 10))
def test_trim_and_append_eos(tokens, length):
    got = trim_and_append_eos(np.array(tokens, np.uint16), length, eos=1)
    assert got.tolist() == tokens[: length - 1] + [1]
    assert got.dtype == np.int32
    assert len(got) == min(len(tokens) + 1, length)


@pytest.mark.parametrize("token", [VOCAB, -1, 70_000])
def test_a_token_outside_the_vocabulary(token):
    with pytest.raises(InputError, match=f"but its vocabulary has {VOCAB}"):
        token_column([[1], [token]], VOCAB)


def test_every_flipped_byte_is_found(tmp_path):
    file = write(tmp_path / "s") / TOKENS
    content = file.read_bytes()
    for position in range(0, len(content), 17):
        damaged = bytearray(content)
        damaged[position] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(
            InputError, match=f"{tmp_path}/s is damaged.*checksum.*delete it; it is prepared again"
        ):
            TokenStore.open(tmp_path / "s")
    file.write_bytes(content)
    assert len(TokenStore.open(tmp_path / "s")) == 2


def test_damaged_folders(tmp_path):
    folder = write(tmp_path / "s")
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(meta | {"version": 0}))
    with pytest.raises(InputError, match="of version 0"):
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
    with pytest.raises(InputError, match=f"has {len(content) - 5} bytes, not {len(content)}"):
        TokenStore.open(folder)
    (folder / TOKENS).unlink()
    with pytest.raises(InputError, match="is missing"):
        TokenStore.open(folder)
    with pytest.raises(InputError, match="no token store"):
        TokenStore.open(tmp_path / "none")


def test_the_first_of_two_writers_wins(tmp_path):
    write(tmp_path / "s", [[1]], [[1]])
    write(tmp_path / "s", [[2]], [[2]])
    assert lists(TokenStore.open(tmp_path / "s").inputs) == [[1]]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_many_writers_at_once(tmp_path):
    threads = [threading.Thread(target=write, args=(tmp_path / "s",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(TokenStore.open(tmp_path / "s")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_disk_full(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module, "_sync", full)
    with pytest.raises(
        OSError, match="cannot write the token store: No space left on device.*/cache/s"
    ) as caught:
        write(tmp_path / "cache" / "s")
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "cache").iterdir()) == []


WRITER = """
import resource, sys, time
from pathlib import Path
import pyarrow as pa
from flan_jax.data import token_store as store

folder, mode = Path(sys.argv[1]), sys.argv[2]
columns = store.schema("train", 10)
tokens = store.token_column([[1] * 100_000], 10)
batch = pa.record_batch([tokens, tokens, pa.array([0], pa.int32()), pa.array([0], pa.int16())], columns)
if mode == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
else:
    def stop(descriptor):
        print("writing", flush=True)
        time.sleep(100)
    store._sync = stop
try:
    store.write_store(folder, [batch], schema=columns, meta={})
except OSError as error:
    print(error)
"""


def test_a_file_size_limit_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "s"), "limit"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write the token store: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_only_what_the_next_one_removes(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "task" / "s"), "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        remove_abandoned(tmp_path)
        (left,) = (tmp_path / "task").iterdir()
        assert left.name.startswith(".tmp-")  # its owner lives, so it stays
        writer.send_signal(signal.SIGKILL)
    (tmp_path / "task" / ".tmp-1-0123abcd-another.machine").mkdir()
    remove_abandoned(tmp_path)
    assert [path.name for path in (tmp_path / "task").iterdir()] == [
        ".tmp-1-0123abcd-another.machine"
    ]
    write(tmp_path / "task" / "s")
    assert len(TokenStore.open(tmp_path / "task" / "s")) == 2
