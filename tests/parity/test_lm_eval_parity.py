"""Our model in lm-evaluation-harness says what the harness's own Hugging Face model says."""

import json

import numpy as np
import pytest
import tokenizers
from chat_folders import TEXTS, write_chat_folder
from transformers_models import gemma3, llama, load, mistral, t5, torch, transformers

from flan_jax.data.row_format import make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.decoding.scorer import Scorer
from flan_jax.evaluation.lm_eval_model import FlanJaxLM
from flan_jax.parallel.mesh import make_mesh

pytest.importorskip("lm_eval", reason="lm_eval is in the test extra")
pytest.importorskip("accelerate", reason="lm_eval's Hugging Face models need it")

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

LENGTHS = {"inputs": 24, "targets": 16}


def make_t5(vocab_size):
    # transformers' generation takes the encoder's number of layers for the decoder's.
    return t5(vocab_size=vocab_size, num_decoder_layers=2, decoder_start_token_id=0)


FAMILIES = {
    "chatml": (llama, "text"),
    "llama3": (llama, "chat"),
    "gemma": (gemma3, "text"),
    "mistral": (mistral, "text"),
    "t5": (make_t5, "flan"),
}

PAIRS = [
    ("Does a hen fly? Answer:", " yes"),
    ("Does a hen fly? Answer:", " no"),
    ("Does a hen fly? Answer:", " The hen flies, and the cat does not."),
    ("Is it raining? ", "maybe"),  # the harness moves the space to the continuation
    ("Is it raining?\n", "no"),
    ("A short text", "\nof lines."),
    ("", " The hen flies"),
    # Longer than 40 tokens: the beginning is cut, so that the last question stays.
    ("Does a cat fly? no\n\n" * 8 + "Does a hen fly?", " yes"),
    ("Does a hen fly? no\n\n" * 8 + "Does a cat fly?", " yes"),
]


def write_t5_tokenizer(folder):
    """A tokenizer.json that puts EOS behind each text, as T5's does."""
    model = tokenizers.Tokenizer(tokenizers.models.Unigram())
    model.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    model.decoder = tokenizers.decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    model.train_from_iterator(TEXTS, trainer)
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    folder.mkdir()
    model.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    names["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, tmp_path_factory):
    """(the harness's model, ours) of one folder."""
    make, row_format = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp("models") / request.param
    if request.param == "t5":
        write_t5_tokenizer(folder)
    else:
        write_chat_folder(folder, request.param)
    peer_tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    torch.manual_seed(0)
    model = make(vocab_size=len(peer_tokenizer)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)

    is_t5 = request.param == "t5"
    peer = HFLM(
        pretrained=model,
        tokenizer=peer_tokenizer,
        backend="seq2seq" if is_t5 else "causal",
        max_length=LENGTHS["inputs"] if is_t5 else sum(LENGTHS.values()),
        batch_size=4,
        device="cpu",
    )
    config, params = load(folder)
    tokenizer = load_tokenizer(folder)
    rows = RowTokenizer(
        tokenizer, make_row_format(row_format, tokenizer, None), config.architecture
    )
    scorer = Scorer(config, params, make_mesh(), rows=8, stop_ids=rows.tokens.stop_ids)
    return peer, FlanJaxLM(scorer, rows, LENGTHS)


def ask(kind, *arguments):
    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def can_be_scored(peer, context, continuation):
    """Whether the harness can: no tokens may be left, and no more than the model reads."""
    if not context:
        return True
    _, tokens = peer._encode_pair(context, continuation)
    return 0 < len(tokens) <= peer.max_length


def test_log_likelihoods_and_greedy_flags(both):
    peer, ours = both
    contexts = ["Does a hen fly? Answer:", "Is it raining?"]
    # What the model itself would write is greedy.
    greedy = peer.generate_until(
        ask("generate_until", *((text, {"max_gen_toks": 3}) for text in contexts))
    )
    pairs = [*PAIRS, *zip(contexts, greedy, strict=True)]
    pairs = [pair for pair in pairs if can_be_scored(peer, *pair)]
    assert len(pairs) >= 7

    expected = peer.loglikelihood(ask("loglikelihood", *pairs), disable_tqdm=True)
    results = ours.loglikelihood(ask("loglikelihood", *pairs), disable_tqdm=True)
    sums = [log_prob for log_prob, _ in results]
    np.testing.assert_allclose(sums, [one for one, _ in expected], atol=1e-3)
    assert [flag for _, flag in results] == [flag for _, flag in expected]


def test_whole_texts(both):
    peer, ours = both
    if peer.backend == "seq2seq":
        pytest.skip("the harness has no whole texts for encoder-decoders")
    texts = [("A short text",), (" ".join(TEXTS[:4]),)]
    requests = ask("loglikelihood_rolling", *texts)
    np.testing.assert_allclose(
        ours.loglikelihood_rolling(requests),
        peer.loglikelihood_rolling(requests, disable_tqdm=True),
        atol=1e-3,
    )


def test_generated_texts(both):
    peer, ours = both
    contexts = ["Does a hen fly? Answer:", "Does a cat fly? no\n\n" * 8 + "A hen?"]
    settings = {"max_gen_toks": 6, "until": ["\n\n"]}
    requests = ask("generate_until", *((text, settings) for text in contexts))
    expected = peer.generate_until(requests)
    if peer.backend == "seq2seq":
        # The harness adds the context's length to the number of new tokens there.
        expected = [text[:6] for text in expected]
    assert ours.generate_until(requests) == expected


def test_chats(both):
    peer, ours = both
    history = [
        {"role": "user", "content": "Does a hen fly?"},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "Is it raining?"},
    ]
    if not peer.tokenizer.chat_template:
        pytest.skip("this family has no chat template")
    text = ours.apply_chat_template(history)
    assert text == peer.apply_chat_template(history)
    assert ours.tok_encode(text) == peer.tok_encode(text)
