"""The small models that come with the package."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.json_files import read_json_object
from flan_jax.models.params import count_params
from flan_jax.weights import model_folder, shipped
from flan_jax.weights.formats import source_facts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=shipped.SHIPPED)
def name(request):
    return request.param


def test_a_shipped_model_is_known_by_its_name(name):
    folder = shipped.local_folder(name)
    assert folder.is_dir()
    assert model_folder.model_of(name) == model_folder.model_of(folder)
    assert model_folder.tokenizer_of(name) == "practice"
    assert not model_folder.is_gone(name)
    assert 2e6 < count_params(model_folder.model_of(name)) < 6e6
    assert shipped.local_folder("~/x") == Path.home() / "x"


def test_its_own_tokenizer_is_the_practice_tokenizer(name):
    """The folder is complete for transformers, too."""
    own = load_tokenizer(str(shipped.local_folder(name)))
    practice = load_tokenizer("practice")
    assert (
        own.vocab_size == practice.vocab_size == model_folder.model_of(name).vocab_size
    )
    for text in ("Is the pet of Anna a cat, yes or no?", "- Arden\n- Brook", "été 12"):
        assert list(own.encode(text)) == list(practice.encode(text))


def test_it_is_known_by_its_content_wherever_it_is_installed(
    name, tmp_path, monkeypatch
):
    facts = source_facts(name)
    assert facts["path"] == name
    copy = tmp_path / "shipped"
    shutil.copytree(shipped.local_folder(name).parent, copy)
    monkeypatch.setattr(shipped, "_FOLDER", copy)
    assert source_facts(name) == facts
    with (copy / name / "config.json").open("a") as file:
        file.write("\n")
    assert source_facts(name) != facts


def test_it_says_how_it_was_made(name):
    folder = shipped.local_folder(name)
    training = read_json_object(folder / "training.json")
    weights = (folder / "model.safetensors").read_bytes()
    assert training["sha256"] == hashlib.sha256(weights).hexdigest()
    assert {"commands", "date", "seed", "code", "data", "scores"} <= training.keys()


def test_all_of_them_are_small():
    files = [file for file in shipped.local_folder("practice_t5").parent.rglob("*")]
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 12e6


def test_its_scores_are_those_that_it_names(name, tmp_path):
    training = read_json_object(shipped.local_folder(name) / "training.json")
    command = [
        sys.executable,
        ROOT / "launch/evaluate.py",
        "--gin_file=base_lm.gin",
        "--gin.MODEL=@from_warm_start()",
        f"--gin.WARM_START={name}",
        "--gin.DataConfig.eval_examples=200",
        f"--tasks={','.join(training['scores'])}",
        f"--run_dir={tmp_path / 'run'}",
    ]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    for task, score in training["scores"].items():
        found = json.loads((tmp_path / "run" / "eval" / f"{task}.json").read_text())
        np.testing.assert_allclose(found["after"]["mean"], score, atol=1.0)
