import dataclasses
import errno

import pytest

from flan_jax.errors import (
    InputError,
    add_to_registry,
    check_at_least,
    describe_os_error,
    is_disk_full,
    look_up,
    plural,
    unknown_name,
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_by_its_number(number):
    error = OSError(number, "something", "/run/file")
    assert is_disk_full(error)
    assert describe_os_error(error) == (
        "the disk is full while writing /run/file. Make room; the same command goes on from the "
        "last checkpoint."
    )


@pytest.mark.parametrize(
    "text", ["No space left on device", "File too large", "Disk quota"]
)
def test_a_full_disk_by_the_text_of_another_library(text):
    assert is_disk_full(RuntimeError(f"os error 28: {text} (while writing)"))


def test_other_errors_are_no_full_disk():
    denied = PermissionError(errno.EACCES, "Permission denied", "/run/file")
    assert not is_disk_full(denied)
    assert not is_disk_full(ValueError("a bug"))
    assert describe_os_error(denied) == "[Errno 13] Permission denied: '/run/file'"


def test_unknown_name_says_how_others_become_known():
    assert str(unknown_name("task", "mine", ["rte"], "Import its module")) == (
        "unknown task 'mine'. Known: rte\nImport its module"
    )


def test_unknown_name_shows_the_nearest_and_all_if_few():
    assert str(unknown_name("cluster", "nlu", ["nli", "misc"])) == (
        "unknown cluster 'nlu'. Did you mean 'nli'? Known: misc, nli"
    )
    assert str(unknown_name("cluster", "xyz", ["a", "a"])).endswith("Known: a")
    assert (
        str(unknown_name("cluster", "xyz", [])) == "unknown cluster 'xyz'. Known: none"
    )
    many = str(unknown_name("task", "t99x", [f"t{number:02}" for number in range(100)]))
    assert "Did you mean 't99'? Known: t00, t01" in many
    assert ", t99 and " in many and many.endswith(" more")


def test_look_up():
    assert look_up({"adam": 1}, "optimizer", "adam") == 1
    with pytest.raises(
        InputError, match="unknown optimizer 'adan'. Did you mean 'adam'?"
    ):
        look_up({"adam": 1}, "optimizer", "adan")


def test_a_registered_name_is_not_given_twice():
    registry = {}
    assert add_to_registry(registry, "optimizer", "adam", 1) == 1
    assert add_to_registry(registry, "optimizer", "adam", 1) == 1
    with pytest.raises(InputError, match="two optimizers are named 'adam'"):
        add_to_registry(registry, "optimizer", "adam", 2)
    assert registry == {"adam": 1}


@dataclasses.dataclass
class Config:
    steps: int = 0
    cap: int | None = None


def test_check_at_least():
    check_at_least(Config(), steps=0, cap=1)
    with pytest.raises(InputError, match="Config.steps is 0; it must be at least 1"):
        check_at_least(Config(), steps=1)
    with pytest.raises(InputError, match="Config.cap is 2; it must be at least 3"):
        check_at_least(Config(cap=2), cap=3)


def test_plural():
    assert [plural(count, "run") for count in (0, 1, 1200)] == [
        "0 runs",
        "1 run",
        "1,200 runs",
    ]
