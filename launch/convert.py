"""Converts parameters between formats.

python launch/convert.py FROM TO [--to=hugging_face] [--dtype=float32] [--original=FOLDER]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    from flan_jax.cli import convert, program

    program.run(convert.main, resumable=False)
