"""Evaluates models of flan_jax with EleutherAI's lm-evaluation-harness.

lm = lm_eval_model.from_checkpoint("runs/nli", model, tokenizer, lengths)
lm_eval.simple_evaluate(model=lm, tasks=["boolq"])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lm_eval import utils  # pyright: ignore[reportMissingImports]
from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports]
from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]

from flan_jax.data.row_format import make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import unknown_name
from flan_jax.json_files import JsonObject
from flan_jax.models.config import ModelConfig
from flan_jax.models.params import abstract_params_on, check_vocabulary
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights.formats import load_params

SAMPLING_SETTINGS = ("temperature", "top_k", "top_p")
SHARED_SETTINGS = (*SAMPLING_SETTINGS, "num_beams", "length_penalty", "seed")
"""Names that a task's generation_kwargs and GenerationConfig share."""

LENGTH_SETTINGS = ("max_gen_toks", "max_new_tokens", "max_length")
"""Names in generation_kwargs of the largest number of new tokens."""

KNOWN_SETTINGS = (*SHARED_SETTINGS, *LENGTH_SETTINGS, "do_sample", "until")


def from_checkpoint(
    source: str,
    model: ModelConfig,
    tokenizer: str,
    lengths: Mapping[str, int],
    *,
    rows: int = 32,
    mesh: Mapping[str, int] | None = None,
) -> "FlanJaxLM":
    """Loads a checkpoint.

    Args:
      source: a run directory, a Hugging Face folder or a T5X checkpoint.
      model: the model's configuration.
      tokenizer: what the macro TOKENIZER may be.
      lengths: {"inputs": tokens of a prompt, "targets": tokens of an answer}.
      rows: prompts in a batch.
      mesh: sizes of the device mesh by axis; None for data parallelism over all devices.
    """
    loaded_tokenizer = load_tokenizer(tokenizer)
    device_mesh = make_mesh(mesh)
    check_vocabulary(model, loaded_tokenizer.path, loaded_tokenizer.vocab_size)
    params = load_params(source, model, abstract_params_on(model, device_mesh))
    row_tokenizer = RowTokenizer(
        loaded_tokenizer,
        make_row_format("flan", loaded_tokenizer, getattr(model, "start_id", None)),
        model.architecture,
    )
    stop_ids = row_tokenizer.tokens.stop_ids
    scorer = Scorer(model, params, device_mesh, rows=rows, stop_ids=stop_ids)
    return FlanJaxLM(scorer, row_tokenizer, lengths)


class FlanJaxLM(LM):
    """A model of flan_jax, called as in flan_jax's own evaluation.

    The context is the inputs and the continuation the targets, in the row format. As they are two
    texts, the space that the harness puts before a continuation is removed. Contexts that are too
    long lose their end, as in training. Log-likelihoods are in nats.
    """

    def __init__(
        self, scorer: Scorer, row_tokenizer: RowTokenizer, lengths: Mapping[str, int]
    ):
        """Wraps a scorer.

        Args:
          scorer: the model with its parameters.
          row_tokenizer: makes the tokens of prompts and answers.
          lengths: {"inputs": tokens of a prompt, "targets": tokens of an answer}.
        """
        super().__init__()
        self._scorer = scorer
        self._row_tokenizer = row_tokenizer
        self._tokenizer = row_tokenizer.tokenizer
        self._lengths = lengths

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Scores continuations; requests with the same context are scored together.

        Args:
          requests: the arguments of each are (context, continuation).

        Returns:
          (log P(continuation | context), whether greedy decoding gives the continuation) of each.
        """
        if not requests:
            return []
        by_context: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            context, _ = _arguments(request)
            by_context.setdefault(context, []).append(number)

        prompts: list[np.ndarray] = []
        answers: list[list[np.ndarray]] = []
        longest = 0
        for context, numbers in by_context.items():
            context_answers = []
            for number in numbers:
                _, continuation = _arguments(requests[number])
                answer = self._target_tokens(continuation)
                context_answers.append(answer)
                longest = max(longest, len(answer))
            prompts.append(self._input_tokens(context))
            answers.append(context_answers)
        sums = self._scorer.log_probs(prompts, answers)
        greedy = self._greedy_tokens(prompts, longest)

        results = [(0.0, False)] * len(requests)
        for group, numbers in enumerate(by_context.values()):
            greedy_tokens = greedy[group]
            for position, number in enumerate(numbers):
                answer = answers[group][position]
                log_prob = float(sums[group][position])
                is_greedy = np.array_equal(greedy_tokens[: len(answer)], answer)
                results[number] = (log_prob, is_greedy)
        return results

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Scores whole texts.

        A text that is longer than the targets' length is scored in windows, each after the last
        token of the one before. The first window follows an empty prompt, and no EOS ends the text.

        Args:
          requests: the arguments of each are (text,).

        Returns:
          log P(text) of each.
        """
        eos_id = self._tokenizer.eos_id
        prompts: list[np.ndarray] = []
        windows: list[list[np.ndarray]] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            (text,) = _arguments(request)
            overlapping = utils.get_rolling_token_windows(
                self._tokenizer.encode(text),
                eos_id,
                self._lengths["targets"],
                context_len=1,
            )
            for context, window in map(utils.make_disjoint_window, overlapping):
                # EOS as the context of the first window is the prompt's own EOS.
                context = [token for token in context if token != eos_id]
                prompt = np.array([*context, eos_id], np.int32)
                prompts.append(self._with_start(prompt))
                windows.append([np.array(window, np.int32)])
                owners.append(number)

        sums = self._scorer.log_probs(prompts, windows)
        totals = [0.0] * len(requests)
        for owner, window_sums in zip(owners, sums, strict=True):
            totals[owner] += float(window_sums[0])
        return totals

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Generates the text after each context, up to the first of its stop strings.

        Args:
          requests: the arguments of each are (context, generation_kwargs).

        Raises:
          InputError: generation_kwargs has an unknown setting.
        """
        by_config: dict[GenerationConfig, list[int]] = {}
        for number, request in enumerate(requests):
            _, settings = _arguments(request)
            config = _generation_config(settings, self._lengths["targets"])
            by_config.setdefault(config, []).append(number)

        texts = [""] * len(requests)
        for config, numbers in by_config.items():
            prompts = []
            for number in numbers:
                context, _ = _arguments(requests[number])
                prompts.append(self._input_tokens(context))
            # A request's random stream is its number: what is sampled depends on no other request.
            generated = self._scorer.generate(prompts, config, numbers)
            for number, tokens in zip(numbers, generated, strict=True):
                text = self._tokenizer.decode(tokens.tolist())
                _, settings = _arguments(requests[number])
                texts[number] = _cut_at_stop(text, settings.get("until"))
        return texts

    def _greedy_tokens(
        self, prompts: Sequence[np.ndarray], length: int
    ) -> list[np.ndarray]:
        """Returns the greedy continuations with their EOS, which answers have, too."""
        generated = self._scorer.generate(prompts, GenerationConfig(length))
        end = self._row_tokenizer.tokens.answer_tail
        return [np.append(tokens, end)[:length] for tokens in generated]

    def _input_tokens(self, text: str) -> np.ndarray:
        (tokens,) = self._row_tokenizer.encode_prompts([text])
        return self._row_tokenizer.prompt(np.array(tokens), self._lengths)

    def _target_tokens(self, text: str) -> np.ndarray:
        (tokens,) = self._row_tokenizer.encode_answers([text.lstrip()])
        return self._row_tokenizer.answer(np.array(tokens), self._lengths)

    def _with_start(self, prompt: np.ndarray) -> np.ndarray:
        return self._row_tokenizer.prompt(prompt, {"inputs": len(prompt)})


def _arguments(request: Instance) -> tuple[Any, ...]:
    """Returns the arguments of a request; their types depend on the kind of request."""
    return request.args


def _generation_config(settings: JsonObject, longest: int) -> GenerationConfig:
    """Returns the settings of a task's generation_kwargs.

    Args:
      settings: generation_kwargs.
      longest: the largest number of new tokens that the model allows.

    Raises:
      InputError: a setting is unknown; ignoring it would change the scores.
    """
    for name in settings:
        if name not in KNOWN_SETTINGS:
            raise unknown_name("setting in generation_kwargs", name, KNOWN_SETTINGS)

    shared = {}
    for name in SHARED_SETTINGS:
        if settings.get(name) is not None:
            shared[name] = settings[name]

    has_temperature = shared.get("temperature", 0) > 0
    is_sampling = settings.get("do_sample", has_temperature)
    if is_sampling:
        shared.setdefault("temperature", 1.0)
    else:
        for name in SAMPLING_SETTINGS:
            shared.pop(name, None)

    lengths = [settings[name] for name in LENGTH_SETTINGS if settings.get(name)]
    max_length = min([longest, *lengths])
    return GenerationConfig(max_length, **shared)


def _cut_at_stop(text: str, until: str | Sequence[str] | None) -> str:
    """Returns the text before the first of the stop strings."""
    stops = [until] if isinstance(until, str) else until or []
    ends = [text.index(stop) for stop in stops if stop and stop in text]
    end = min(ends, default=len(text))
    return text[:end]
