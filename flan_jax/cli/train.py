"""The program launch/train.py: tunes a model on a mixture, and scores it before and after."""

import argparse
from collections.abc import Sequence

from flan_jax.cli import arguments, gin_settings
from flan_jax.cli.mixture_tables import print_plan
from flan_jax.training.loop import NO_STEPS, profiled_steps
from flan_jax.training.setup import check_warm_start
from flan_jax.training.train import train


def parser() -> argparse.ArgumentParser:
    """Returns the program's flags."""
    parser = arguments.settings_parser(
        "train.py",
        "Tune a model on a mixture and score it on the held-out cluster before and after.",
    )
    arguments.add_host_flags(parser)
    parser.add_argument(
        "--profile",
        metavar="N:M",
        help="trace the steps N to M into the run's profile/",
    )
    return parser


def main(command_line: Sequence[str]) -> None:
    """Runs the program. Errors are raised; `program.run` prints them.

    Args:
      command_line: the arguments after the program's name.
    """
    flags, bindings = arguments.parse(parser(), command_line)
    arguments.join_processes(flags)
    settings, config_text = gin_settings.resolve(flags.gin_file, bindings)
    arguments.keep_compiled_programs(settings)

    profile = NO_STEPS
    if flags.profile is not None:
        profile = profiled_steps(flags.profile, settings.training.steps)

    if flags.dry_run:
        check_warm_start(arguments.run_dir_of(flags), settings)
        print_plan(settings)
    else:
        train(arguments.run_dir_of(flags), settings, config_text, profile=profile)
