"""Prepares the data of a run.

python launch/prepare.py --gin_file=flan_mixture.gin [--gin.NAME=value] [--dry_run]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    # Inside the guard: the processes that prepare data import this file and need none of it.
    from flan_jax.cli import prepare, program

    program.run(prepare.main)
