"""python launch/tokenizer.py --gin_file=flan_mixture.gin [--gin.NAME=value] [--dry_run]"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flan_jax.cli import program, verbs

if __name__ == "__main__":
    program.run(verbs.tokenizer)
