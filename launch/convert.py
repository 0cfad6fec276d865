"""python launch/convert.py FROM TO [--to=hugging_face] [--dtype=float32] [--original=FOLDER] [--tokenizer=FILE] [--gin_file=...]"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flan_jax.cli import program

if __name__ == "__main__":
    program.run(program.convert)
