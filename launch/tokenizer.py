"""Trains a tokenizer on a mixture's texts.

python launch/tokenizer.py --gin_file=flan_mixture.gin [--gin.NAME=value] [--dry_run]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    from flan_jax.cli import program, tokenizer

    program.run(tokenizer.main, resumable=False)
