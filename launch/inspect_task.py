"""Shows examples of a task.

python launch/inspect_task.py TASK [--template=N] [--rows=N] [--split=train] [--source=sandbox]
    [--help]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flan_jax.cli import inspect_task

if __name__ == "__main__":
    sys.exit(inspect_task.main())
