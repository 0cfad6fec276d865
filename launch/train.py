"""Trains a model on a mixture.

python launch/train.py --gin_file=flan_mixture.gin [--gin.NAME=value] [--run_dir=DIR] [--dry_run]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    # Inside the guard: the processes that prepare data import this file and need none of it.
    from flan_jax.cli import program, train

    program.run(train.main)
