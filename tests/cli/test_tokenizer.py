"""launch/tokenizer.py."""

import tasks  # noqa: F401 (registers)
from flan_jax.cli import program, tokenizer  # fmt: skip
from flan_jax.data.tokenizers import load_tokenizer


def test_tokenizer(gin_file, tmp_path, capsys, refused):
    assert (
        program.exit_code(
            tokenizer.main, [gin_file, f"--gin.TOKENIZER={tmp_path}/small.model"]
        )
        == 0
    )
    pieces = load_tokenizer(tmp_path / "small.model").vocab_size
    assert 300 < pieces <= 4096
    assert f"{pieces} pieces" in capsys.readouterr().out
    assert "name a *.model file" in refused(
        tokenizer.main, gin_file, "--gin.TOKENIZER=nowhere/small.model"
    )
