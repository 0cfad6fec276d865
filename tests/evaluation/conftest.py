"""Fixtures of the toy evaluation: its token stores, models, data and context."""

import pytest
from text_fixtures import texts, tokenizer
from toy_evaluation import LENGTHS, MODELS, MortalScorer
from toy_tasks import KIND, SPELL

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import MixtureData
from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.decoding.scorer import Scorer
from flan_jax.evaluation import config as evaluation_config
from flan_jax.evaluation.config import EvalConfig, EvalContext
from flan_jax.parallel.mesh import make_mesh
from flan_jax.run_dir import Run
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.task import TASKS
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state

__all__ = ["texts", "tokenizer"]


@pytest.fixture(scope="module")
def stores(tokenizer, tmp_path_factory):
    """The evaluation stores of a ranked and of a generated task, by (task, split)."""
    requests = [
        Request(task, split, "eval")
        for task in (KIND, SPELL)
        for split in ("validation", "test")
    ]
    cache = tmp_path_factory.mktemp("cache")
    prepared = prepare(
        requests, RowTokenizer(tokenizer), cache, workers=0, progress=False
    )
    return {(name, split): store for (name, split, _), store in prepared.items()}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def params(model):
    return init_state(model, adamw(1e-3), make_mesh(), seed=0).params


@pytest.fixture(scope="module")
def scorer(model, params, tokenizer):
    return Scorer(model, params, make_mesh(), rows=8, stop_ids=(tokenizer.eos_id,))


@pytest.fixture
def data(stores, tokenizer, monkeypatch):
    """Toy data with the ranked task held out and the generated one trained on."""
    for task in (KIND, SPELL):
        monkeypatch.setitem(TASKS, task.name, task)
    config = DataConfig(
        mixture="toy",
        held_out="zoo",
        source="sandbox",
        data_dir=None,
        tokenizer=tokenizer.path,
        lengths=LENGTHS,
        batch_size=8,
        seed=0,
        seen_eval_examples=2,
    )
    split = Split(train=("toy_spell",), held_out=("toy_kind",), clusters=("zoo",))
    evaluation = {
        key: store
        for key, store in stores.items()
        if key != ("toy_spell", "validation")
    }
    return MixtureData(
        config=config,
        split=split,
        row_tokenizer=RowTokenizer(tokenizer),
        train={},
        evaluation=evaluation,
    )


@pytest.fixture
def make_context(model, tokenizer, monkeypatch):
    """make_context(folder, **EvalConfig) -> EvalContext. A batch costs a life of MortalScorer."""
    monkeypatch.setattr(evaluation_config, "Scorer", MortalScorer)
    monkeypatch.setattr(MortalScorer, "lives", 10**9)

    def make(folder, **settings):
        config = EvalConfig(**{"rows": 8} | settings)
        row_tokenizer = RowTokenizer(tokenizer, architecture=model.architecture)
        return EvalContext(
            Run(folder), model, row_tokenizer, LENGTHS, make_mesh(), config
        )

    return make
