import dataclasses
import errno

import numpy as np
import pytest

from flan_jax.errors import (
    InputError,
    add_to_registry,
    check_at_least,
    check_call,
    check_number,
    check_seed,
    describe_os_error,
    is_disk_full,
    is_number,
    is_whole,
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


@dataclasses.dataclass
class Seeded:
    seed: object


def test_check_at_least():
    check_at_least(Config(), steps=0, cap=1)
    with pytest.raises(InputError, match="Config.steps is 0; it must be at least 1"):
        check_at_least(Config(), steps=1)
    with pytest.raises(InputError, match="Config.cap is 2; it must be at least 3"):
        check_at_least(Config(cap=2), cap=3)


@pytest.mark.parametrize("steps", [True, 1.5, float("nan"), "3", [3]])
def test_a_whole_number_is_asked_for(steps):
    with pytest.raises(
        InputError, match="steps is .*; it must be a whole number of at"
    ):
        check_at_least(Config(steps=steps), steps=0)


NO_NUMBERS = [True, "1e-3", None, float("nan"), float("inf"), -float("inf"), [1], 1j]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number(value):
    assert not is_number(value)
    assert not is_whole(value)
    with pytest.raises(
        InputError, match="rate is .*; it must be a number of at least 0"
    ):
        check_number("rate", value, least=0.0)


def test_numbers_in_a_range():
    for value in (0, 1, 0.5, np.float32(0.5), np.int64(1)):
        assert is_number(value)
        check_number("rate", value, least=0.0, most=1.0)
    assert is_whole(np.int64(1)) and not is_whole(1.0)
    for value, limits, text in (
        (-1, {"least": 0.0}, "a number of at least 0"),
        (0, {"above": 0.0, "most": 1.0}, "a number above 0 and up to 1"),
        (1, {"least": 0.0, "below": 1.0}, "a number of at least 0 and below 1"),
        (1.5, {"most": 1.0}, "a number up to 1"),
    ):
        with pytest.raises(InputError) as raised:
            check_number("rate", value, **limits)
        assert str(raised.value) == f"rate is {value}; it must be {text}"


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "1", None])
def test_seeds(seed):
    check_seed(Seeded(2**32 - 1))
    with pytest.raises(InputError, match=r"Seeded.seed is .*from 0 to below 2\*\*32"):
        check_seed(Seeded(seed))


def test_a_function_that_takes_other_arguments():
    def right(task, prompts=None, *, verbose=False):
        pass

    check_call(right, "mine", ["task", "prompts"], ["verbose"])
    check_call(right, "mine", ["task"])
    check_call(dict.fromkeys, "mine", ["task"])
    check_call(lambda *args, **kwargs: None, "mine", ["task"], ["verbose"])
    with pytest.raises(InputError) as raised:
        check_call(lambda task: (), "mine", ["task", "prompts"])
    assert str(raised.value) == (
        "mine will be called with (task, prompts), but takes (task): too many positional "
        "arguments. Write a function of (task, prompts)"
    )
    with pytest.raises(InputError, match="takes .*: missing a required argument: 'b'"):
        check_call(lambda a, b: (), "mine", ["task"])
    with pytest.raises(InputError, match="unexpected keyword argument 'mask'"):
        check_call(lambda a: (), "mine", ["a"], ["mask"])
    with pytest.raises(
        InputError, match=r"mine is 3; write a function of \(a, m=...\)"
    ):
        check_call(3, "mine", ["a"], ["m"])


def test_plural():
    assert [plural(count, "run") for count in (0, 1, 1200)] == [
        "0 runs",
        "1 run",
        "1,200 runs",
    ]
