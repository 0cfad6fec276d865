"""Flags that several programs share."""

import os

import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.cli import ablate, arguments, program, train  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        ["--gin.STEPS=1"],
        ["--gin_file=train.gin", "--step=1"],
        ["--gin_file=train.gin", "more"],
    ],
)
def test_flags_that_do_not_exist_end_with_2(flags):
    with pytest.raises(SystemExit) as ended:
        program.exit_code(train.main, flags)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("main", "flags"),
    [
        (train.main, ["--gin_file=flan_mixture.gin", "--run_dir=gs://bucket/run"]),
        (
            ablate.main,
            ["--gin_file=leave_one_cluster_out.gin", "--sweep_dir=gs://bucket/sweep"],
        ),
        (ablate.main, ["run", "--index=0", "--plan=gs://bucket/sweep"]),
    ],
)
def test_a_bucket_that_is_not_mounted_is_no_folder(
    main, flags, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(flags)
    assert "Mount the bucket" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_run_directory_is_named_by_the_first_gin_file():
    parser = arguments.settings_parser("toy.py", "Read settings.")
    command_line = [
        "--gin_file=small.gin",
        "--gin_file=more.gin",
        "--gin.STEPS=9",
        "--dry_run",
    ]
    flags, bindings = arguments.parse(parser, command_line)
    assert bindings == ["STEPS = 9"]
    assert flags.dry_run
    assert arguments.run_dir_of(flags) == "runs/small"
    flags, _ = arguments.parse(parser, [*command_line, "--run_dir=~/mine"])
    assert arguments.run_dir_of(flags) == os.path.expanduser("~/mine")
