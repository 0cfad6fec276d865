"""Says whether a run fits its devices, without them.

python launch/preflight.py --gin_file=flan_mixture.gin [--topology=v4:4x4x8] [--search]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    from flan_jax.cli import preflight, program

    program.run(preflight.main, resumable=False)
