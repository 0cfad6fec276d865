"""Searches the held-out tasks' examples in the training mixture.

python launch/leakage.py [MIXTURE] [--held_out=CLUSTER] [--run_dir=DIR] [--gin_file=...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    # Inside the guard: the processes that prepare data import this file and need none of it.
    from flan_jax.cli import leakage, program

    program.run(leakage.main, resumable=False)
