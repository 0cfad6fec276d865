import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from flan_jax.errors import InputError
from flan_jax.json_files import (
    append_jsonl,
    atomic_folder,
    default_fields,
    fill_missing,
    is_process_alive,
    read_json,
    read_json_object,
    read_jsonl,
    remove_abandoned_folders,
    write_text,
)


def test_read_jsonl_skips_an_unfinished_last_line_only(tmp_path):
    file = tmp_path / "rows.jsonl"
    assert list(read_jsonl(file)) == []
    file.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert list(read_jsonl(file)) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\n{"a"\n{"a": 3}\n')
    with pytest.raises(InputError, match=rf"{file}:2 is damaged"):
        list(read_jsonl(file))
    file.write_bytes(b'{"a": 1}\n\xff\xfe\n')
    with pytest.raises(InputError, match=rf"{file}.* is damaged"):
        list(read_jsonl(file))


def test_append_jsonl_adds_lines(tmp_path):
    file = tmp_path / "rows.jsonl"
    append_jsonl(file, {"a": 1})
    append_jsonl(file, {"a": "two\nlines"})
    assert list(read_jsonl(file)) == [{"a": 1}, {"a": "two\nlines"}]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_json_file_is_an_error_that_names_it(tmp_path, content):
    assert read_json(tmp_path / "absent.json") is None
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=f"{tmp_path / 'bad.json'} is damaged"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(InputError, match=f"{tmp_path / 'bad.json'} is not JSON"):
        read_json_object(tmp_path / "bad.json")


def test_read_json_object_refuses_other_values(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"layers": 2}')
    assert read_json_object(file) == {"layers": 2}
    file.write_text("[2]")
    with pytest.raises(InputError, match=f"{file} is not a JSON object; copy it again"):
        read_json_object(file)


def disk_full(descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_keeps_the_old_text(tmp_path, monkeypatch):
    file = tmp_path / "result.json"
    write_text(file, "old")
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_text(file, "new")
    assert file.read_text() == "old"


REWRITE_FOREVER = """
import pathlib, sys
from flan_jax.json_files import write_json

i = 0
while True:
    i += 1
    write_json(pathlib.Path(sys.argv[1]), [i] * (2000 + i % 2 * 2000))
"""


def test_a_reader_never_sees_half_a_file(tmp_path):
    file = tmp_path / "numbers.json"
    process = subprocess.Popen([sys.executable, "-c", REWRITE_FOREVER, str(file)])
    try:
        versions, end = set(), time.monotonic() + 20
        while len(versions) < 5 and time.monotonic() < end:
            if file.exists():
                numbers = json.loads(file.read_text())
                assert len(set(numbers)) == 1
                versions.add(numbers[0])
        assert len(versions) >= 5
    finally:
        process.kill()
        process.wait()


def test_a_folder_appears_when_it_is_complete(tmp_path):
    folder = tmp_path / "a" / "b" / "store"
    with atomic_folder(folder) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("text")
        assert not folder.exists()
        assert temporary.parent == folder.parent
    assert (folder / "inner" / "file").read_text() == "text"
    assert list(folder.parent.iterdir()) == [folder]


def test_every_file_is_on_disk_before_the_rename(tmp_path, monkeypatch):
    synced, rename = [], os.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )

    def rename_after_sync(source, target):
        names = {os.path.relpath(path, source) for path in synced}
        assert names == {".", "file", "inner", "inner/file"}
        synced.clear()
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_after_sync)
    with atomic_folder(tmp_path / "store") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "file").touch()
        (temporary / "inner" / "file").touch()
    assert synced == [str(tmp_path)]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_leaves_no_folder(tmp_path, error):
    with pytest.raises(type(error)), atomic_folder(tmp_path / "store") as temporary:
        (temporary / "file").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", disk_full)
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_folder(tmp_path / "store") as temporary,
    ):
        (temporary / "file").write_text("text")
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_several_writers_wins(tmp_path):
    refused = []

    def write(number):
        try:
            with atomic_folder(tmp_path / "store") as temporary:
                (temporary / "writer").write_text(str(number))
        except FileExistsError as error:
            refused.append((number, error.filename))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = int((tmp_path / "store" / "writer").read_text())
    losers = [number for number in range(8) if number != winner]
    assert sorted(refused) == [(number, str(tmp_path / "store")) for number in losers]
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


WAIT_WHILE_WRITING = """
import pathlib, sys, time
from flan_jax.json_files import atomic_folder

with atomic_folder(pathlib.Path(sys.argv[1])) as temporary:
    print(temporary.name, flush=True)
    time.sleep(100)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    folder = tmp_path / "store"
    command = [sys.executable, "-c", WAIT_WHILE_WRITING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        temporary = tmp_path / writer.stdout.readline().strip()
        assert temporary.is_dir()
        assert temporary.name.startswith("store.tmp-")
        remove_abandoned_folders(tmp_path)
        assert temporary.is_dir()  # its writer lives
        writer.send_signal(signal.SIGKILL)

    kept = ["store.tmp-1-0123abcd-another.machine", "notes.tmp-old"]
    for name in kept:
        (tmp_path / name).mkdir()
    with atomic_folder(folder):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"store", *kept}


def test_a_zombie_is_not_alive():
    assert is_process_alive(os.getpid())
    assert is_process_alive(1)
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert (
        process.stdout is not None and process.stdout.read() == b""
    )  # it has closed its files
    end = time.monotonic() + 20
    while is_process_alive(process.pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not is_process_alive(process.pid)  # ended, and not waited for yet
    process.wait()
    assert not is_process_alive(process.pid)


def test_fields_at_their_default():
    @dataclasses.dataclass
    class Toy:
        size: int
        names: tuple = ("a", "b")
        made_by: object = print
        extra: dict = dataclasses.field(default_factory=dict)

    assert default_fields(Toy) == {"names": ["a", "b"], "extra": {}}


def test_what_is_missing_is_filled_in_objects_that_are_there():
    model = {"remat": "none", "width": 8}
    defaults = {"model": model, "prompts": {"shots": 0}, "weights.model": model}
    content = {"model": {"width": 16}, "weights": {"model": {}, "seed": 3}}
    assert fill_missing(content, defaults) == {
        "model": {"remat": "none", "width": 16},
        "weights": {"model": model, "seed": 3},
    }
    assert content == {"model": {"width": 16}, "weights": {"model": {}, "seed": 3}}
