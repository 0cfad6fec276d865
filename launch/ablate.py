"""Plans and runs a sweep.

python launch/ablate.py --gin_file=leave_one_cluster_out.gin [--sweep_dir=DIR] [--engine=NAME]
    [--dry_run] [--status]
python launch/ablate.py run --plan=SWEEP_DIR --index=I
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    # Inside the guard: the processes that prepare data import this file and need none of it.
    from flan_jax.cli import ablate, program

    program.run(ablate.main)
