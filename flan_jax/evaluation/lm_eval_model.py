"""Our models in EleutherAI's lm-evaluation-harness: `lm_eval.simple_evaluate(model=FlanJaxLM(...), tasks=[...])`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window  # pyright: ignore[reportMissingImports]

from flan_jax.data.token_store import trim_and_append_eos
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import unknown_name
from flan_jax.models.config import ModelConfig
from flan_jax.models.params import abstract_params_on, check_vocabulary
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights.formats import load_params

SAME = ("temperature", "top_k", "top_p", "num_beams", "length_penalty", "seed")
"""Settings of a task's generation_kwargs that GenerationConfig has by the same name."""
LIMITS = ("max_gen_toks", "max_new_tokens", "max_length")
"""Those that become its max_length."""


def from_checkpoint(
    source: str,
    model: ModelConfig,
    tokenizer: str,
    lengths: Mapping[str, int],
    *,
    rows: int = 32,
    mesh: Mapping[str, int] | None = None,
) -> "FlanJaxLM":
    """The model in a run directory, a Hugging Face folder or a T5X checkpoint.

    `tokenizer` is what TOKENIZER may be; `lengths` are {"inputs": tokens of a prompt, "targets": tokens of an answer}.
    """
    known, placed = load_tokenizer(tokenizer), make_mesh(mesh)
    check_vocabulary(model, known.path, known.vocab_size)
    params = load_params(source, model, abstract_params_on(model, placed))
    return FlanJaxLM(Scorer(model, params, placed, rows=rows, eos_id=known.eos_id), known, lengths)


class FlanJaxLM(LM):
    """A model as our own evaluation uses it: the context is the inputs, the continuation the targets, each with its EOS.

    The space that the harness puts before a continuation is taken off, as the two are texts of their own here. Contexts
    that are too long lose their end, as in training. Log-likelihoods are in nats.
    """

    def __init__(self, scorer: Scorer, tokenizer: Tokenizer, lengths: Mapping[str, int]):
        super().__init__()
        self._scorer, self._tokenizer, self._lengths = scorer, tokenizer, lengths

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log P(continuation | context), whether greedy decoding gives it) of each request's (context, continuation)."""
        by_context: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            by_context.setdefault(request.args[0], []).append(number)
        prompts = [self._inputs(context) for context in by_context]
        answers = [
            [self._targets(requests[n].args[1]) for n in numbers] for numbers in by_context.values()
        ]
        sums = self._scorer.log_probs(prompts, answers)
        greedy = (
            self._greedy(prompts, max(len(a) for choices in answers for a in choices))
            if prompts
            else []
        )
        found = [(0.0, False)] * len(requests)
        for numbers, choices, own, written in zip(
            by_context.values(), answers, sums, greedy, strict=True
        ):
            for number, answer, total in zip(numbers, choices, own, strict=True):
                found[number] = float(total), np.array_equal(written[: len(answer)], answer)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """log P of each request's whole text, which no EOS ends; its first tokens follow an empty prompt.

        A text longer than the targets' length is scored in pieces, each after the last token of the one before.
        """
        prompts: list[np.ndarray] = []
        pieces: list[list[np.ndarray]] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            windows = get_rolling_token_windows(
                self._tokenizer.encode(request.args[0]),
                self._scorer.eos_id,
                self._lengths["targets"],
                context_len=1,
            )
            for context, piece in map(make_disjoint_window, windows):
                # EOS as the context of the first piece is the prompt's own.
                before = [token for token in context if token != self._scorer.eos_id]
                prompts.append(
                    trim_and_append_eos(
                        np.array(before, np.int32), 1 + len(before), self._scorer.eos_id
                    )
                )
                pieces.append([np.array(piece, np.int32)])
                owners.append(number)
        sums = self._scorer.log_probs(prompts, pieces)
        totals = [0.0] * len(requests)
        for owner, own in zip(owners, sums, strict=True):
            totals[owner] += float(own[0])
        return totals

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The continuation of each request's context, up to the first of the stop strings "until"."""
        found = [""] * len(requests)
        groups: dict[GenerationConfig, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(_generation(request.args[1], self._lengths["targets"]), []).append(
                number
            )
        for config, numbers in groups.items():
            prompts = [self._inputs(requests[number].args[0]) for number in numbers]
            # A request's random stream is its number: what is sampled depends on no other.
            for number, tokens in zip(
                numbers, self._scorer.generate(prompts, config, numbers), strict=True
            ):
                text = self._tokenizer.decode(tokens.tolist())
                found[number] = _cut(text, requests[number].args[1].get("until"))
        return found

    def _greedy(self, prompts: Sequence[np.ndarray], length: int) -> list[np.ndarray]:
        """The most probable continuations with their EOS, so that they compare with answers."""
        written = self._scorer.generate(prompts, GenerationConfig(length))
        return [np.append(tokens, self._scorer.eos_id)[:length] for tokens in written]

    def _inputs(self, text: str) -> np.ndarray:
        return self._tokens(text, "inputs")

    def _targets(self, text: str) -> np.ndarray:
        return self._tokens(text.lstrip(), "targets")

    def _tokens(self, text: str, side: str) -> np.ndarray:
        return trim_and_append_eos(
            np.array(self._tokenizer.encode(text)), self._lengths[side], self._scorer.eos_id
        )


def _generation(settings: Mapping[str, Any], longest: int) -> GenerationConfig:
    """A task's generation_kwargs. Raises InputError for a setting that is not known here: the scores would be other ones."""
    known = (*SAME, *LIMITS, "do_sample", "until")
    for name in settings:
        if name not in known:
            raise unknown_name("setting in generation_kwargs", name, known)
    own = {name: settings[name] for name in SAME if settings.get(name) is not None}
    if not settings.get("do_sample", own.get("temperature", 0) > 0):
        for name in ("temperature", "top_k", "top_p"):
            own.pop(name, None)
    elif "temperature" not in own:
        own["temperature"] = 1.0
    asked = [settings[name] for name in LIMITS if settings.get(name)]
    return GenerationConfig(min([longest, *asked]), **own)


def _cut(text: str, until: str | Sequence[str] | None) -> str:
    stops = [until] if isinstance(until, str) else until or []
    return text[: min([len(text), *(text.index(stop) for stop in stops if stop and stop in text)])]
