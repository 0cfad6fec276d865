"""Scores a run or a checkpoint.

python launch/evaluate.py --gin_file=flan_mixture.gin [--gin.WARM_START=CKPT]
    [--tasks=rte,anli_r1] [--dry_run]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    # Inside the guard: the processes that prepare data import this file and need none of it.
    from flan_jax.cli import evaluate, program

    program.run(evaluate.main)
