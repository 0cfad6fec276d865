"""Models of transformers as peers for ours, and config.json without weights."""

import functools
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from flan_jax.weights import hugging_face


@pytest.fixture(scope="session")
def transformers_models():
    """The module in tests/support; without transformers the test is skipped."""
    import transformers_models

    return transformers_models


@pytest.fixture(scope="session")
def peers(transformers_models, tmp_path_factory):
    """peers(name) -> (a random model of transformers, the folder it saved itself to)."""

    @functools.cache
    def peer(name):
        folder = tmp_path_factory.mktemp(name) / "model"
        return transformers_models.save_peer(name, folder)

    return peer


@pytest.fixture
def read_config(tmp_path):
    """read_config(config.json, has_head): the model that a folder's config.json describes."""

    def read(config_json, has_head=False):
        folder = tmp_path / "config_alone"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config_json))
        tensor = "lm_head.weight" if has_head else "model.norm.weight"
        save_file({tensor: np.zeros(1, np.float32)}, folder / "model.safetensors")
        return hugging_face.read_config(folder)

    return read


@pytest.fixture
def check_older_form(peers, read_config):
    """check_older_form(name, left_out, changes): it still describes the same model.

    It compares config.json of transformers 5 with the form of an earlier version, which leaves out
    some settings and has others under other names.
    """

    def check(name, left_out, changes):
        model, folder = peers(name)
        config_json = json.loads((folder / "config.json").read_text())
        older = {k: v for k, v in config_json.items() if k not in left_out}
        has_head = not model.config.tie_word_embeddings
        assert read_config({**older, **changes}, has_head) == hugging_face.read_config(
            folder
        )

    return check
