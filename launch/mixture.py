"""Shows a mixture in numbers.

python launch/mixture.py [MIXTURE] [--held_out=CLUSTER] [--diff=MIXTURE] [--picture=FILE]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    # Inside the guard: the processes that prepare data import this file and need none of it.
    from flan_jax.cli import mixture, program

    program.run(mixture.main, resumable=False)
