import json

import pytest
import tokenizers
from toy_tasks import ANIMALS, KIND, SPELL

from flan_jax.data.tokenizers import load_tokenizer, train_tokenizer
from flan_jax.tasks.rendering import render_train


@pytest.fixture(scope="session")
def texts():
    """Some hundred short texts."""
    rows = [
        row
        for task in (KIND, SPELL)
        for row in render_train(task, task.source.rows("train"), renderings=3)
    ]
    return [text for row in rows for text in (row.inputs, row.targets)]


@pytest.fixture(scope="session")
def tokenizer(texts, tmp_path_factory):
    """A small SentencePiece tokenizer."""
    path = tmp_path_factory.mktemp("tokenizer") / "toy.model"
    train_tokenizer(texts, path, vocab_size=400)
    return load_tokenizer(path)


@pytest.fixture
def tokenizer_json(texts, tmp_path):
    """tokenizer_json(config) -> a folder with a byte-level BPE tokenizer.json and its config."""

    def make(config, special=("<unk>", "<pad>", "</s>", "<stop>")):
        model = tokenizers.Tokenizer(tokenizers.models.BPE())
        model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=False
        )
        model.decoder = tokenizers.decoders.ByteLevel()
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=list(special),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        model.train_from_iterator(texts + list(ANIMALS), trainer)
        model.enable_truncation(3)
        model.enable_padding(length=5)
        model.save(str(tmp_path / "tokenizer.json"))
        if config is not None:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return tmp_path

    return make
