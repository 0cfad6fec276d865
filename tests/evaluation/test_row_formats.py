"""What training sees of an example and what decoding scores of it are the same, in every format."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chat_folders import write_chat_folder
from toy_tasks import KIND

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.loader import Loader
from flan_jax.data.mixture_data import task_lengths
from flan_jax.data.prepare import prepare
from flan_jax.data.row_format import RowFormat, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.decoding.scorer import Scorer
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import dummy_batch
from flan_jax.parallel.mesh import make_mesh
from flan_jax.tasks.rendering import render_train
from flan_jax.training.packing_check import check_packing

LENGTHS = {"inputs": 40, "targets": 16}
MODEL = DecoderConfig(
    num_layers=1,
    position="rope",
    vocab_size=704,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    dropout_rate=0.0,
    scan_layers=False,
)
FORMATS = {
    "flan": "flan",
    "text": "text",
    "chat": "chat",
    "nothing": RowFormat(start=None, separator=" ", answer_prefix=" ", end="<pad>"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_chat_folder(tmp_path_factory.mktemp("folders") / "gemma", "gemma")


@pytest.fixture(scope="module", params=[True, False], ids=["prefix", "causal"])
def model(request):
    return dataclasses.replace(MODEL, prefix_lm=request.param)


@pytest.fixture(scope="module")
def params(model):
    variables = jax.jit(model.build().init)(jax.random.key(3), dummy_batch(model))
    params = nn.unbox(variables)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape).astype(np.float32),
        params,
    )


@pytest.fixture(params=FORMATS)
def rows(request, folder):
    tokenizer = load_tokenizer(folder)
    row_format = make_row_format(FORMATS[request.param], tokenizer, None)
    row_tokenizer = RowTokenizer(tokenizer, row_format)
    row_tokenizer.check()
    return row_tokenizer


@pytest.fixture
def loader(rows, tmp_path):
    (store,) = prepare(
        [Request(KIND, "train", "train")], rows, tmp_path, workers=0, progress=False
    ).values()
    plan = MixturePlan(
        {"toy_kind": task_lengths(store)},
        {"toy_kind": len(store)},
        architecture="decoder",
        batch_size=4,
        lengths={"inputs": 3 * LENGTHS["inputs"], "targets": LENGTHS["targets"]},
        seed=0,
        has_start=rows.tokens.start is not None,
    )
    return Loader(plan, {"toy_kind": store}, rows.tokens)


def supervised_sums(model, params, batch):
    """{(row, example): the log-probability of its tokens with loss}."""
    arrays = {name: jnp.asarray(array) for name, array in batch.items()}
    logits = jax.jit(model.build().apply)({"params": params}, arrays)
    log_probs = jax.nn.log_softmax(logits)
    targets = jnp.asarray(batch["decoder_target_tokens"])[..., None]
    of_targets = np.asarray(jnp.take_along_axis(log_probs, targets, -1))[..., 0]
    of_targets = of_targets * batch["decoder_loss_weights"]
    segment_ids = batch["decoder_segment_ids"]
    return {
        (row, int(number)): of_targets[row][segment_ids[row] == number].sum()
        for row in range(len(segment_ids))
        for number in range(1, segment_ids[row].max() + 1)
    }


def test_packed_rows_give_what_decoding_gives(model, params, rows, loader):
    batch = loader.batch(0)
    sums = supervised_sums(model, params, batch)
    assert len(sums) > 4, "rows should hold several examples"
    rendered = list(render_train(KIND, KIND.source.rows("train")))
    scorer = Scorer(model, params, make_mesh(), rows=8, stop_ids=rows.tokens.stop_ids)
    refs = loader.plan.rows(0)
    examples = [rendered[refs[row][number - 1].index] for row, number in sums]
    lengths = loader.plan.lengths
    prompts = [
        rows.prompt(np.array(tokens), lengths)
        for tokens in rows.encode_prompts([row.inputs for row in examples])
    ]
    answers = [
        [rows.answer(np.array(tokens), lengths)]
        for tokens in rows.encode_answers([row.targets for row in examples])
    ]
    scores = [float(row[0]) for row in scorer.log_probs(prompts, answers)]
    np.testing.assert_allclose(list(sums.values()), scores, rtol=1e-4, atol=1e-3)


def test_packed_examples_do_not_see_each_other(model, params, loader):
    differences = check_packing(model, params, loader, make_mesh())
    assert max(differences.values()) < 1e-3
