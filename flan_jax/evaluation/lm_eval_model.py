"""Evaluates models of flan_jax with EleutherAI's lm-evaluation-harness.

lm = lm_eval_model.from_checkpoint("/models/SmolLM2-135M")
lm_eval.simple_evaluate(model=lm, tasks=["boolq"])
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval import utils  # pyright: ignore[reportMissingImports]
from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports]
from lm_eval.api.model import TemplateLM  # pyright: ignore[reportMissingImports]

from flan_jax.data.chat_template import (
    find_chat_template,
    render_chat,
    special_token_variables,
)
from flan_jax.data.row_format import RowFormat, format_of_json, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError, unknown_name
from flan_jax.json_files import JsonObject
from flan_jax.models.config import ModelConfig, check_model_config
from flan_jax.models.params import abstract_params_on, check_vocabulary
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights.formats import load_params
from flan_jax.weights.model_folder import default_row_format, model_of, tokenizer_of

LENGTHS = {"inputs": 1024, "targets": 256}
SAMPLING_SETTINGS = ("temperature", "top_k", "top_p")
SHARED_SETTINGS = (*SAMPLING_SETTINGS, "num_beams", "length_penalty", "seed")
"""Names that a task's generation_kwargs and GenerationConfig share."""

LENGTH_SETTINGS = ("max_gen_toks", "max_new_tokens", "max_length")
"""Names in generation_kwargs of the largest number of new tokens."""

KNOWN_SETTINGS = (*SHARED_SETTINGS, *LENGTH_SETTINGS, "do_sample", "until")


def from_checkpoint(
    source: str,
    model: ModelConfig | None = None,
    tokenizer: str | None = None,
    lengths: Mapping[str, int] = LENGTHS,
    *,
    rows: int = 32,
    mesh: Mapping[str, int] | None = None,
) -> "FlanJaxLM":
    """Loads a checkpoint.

    Args:
      source: a run directory, a Hugging Face folder or a T5X checkpoint.
      model: the model's configuration; None for the one that the source names.
      tokenizer: what the macro TOKENIZER may be; None for the one that the source holds or names.
      lengths: {"inputs": tokens of a prompt, "targets": tokens of an answer}.
      rows: prompts in a batch.
      mesh: sizes of the device mesh by axis; None for data parallelism over all devices.

    Raises:
      InputError: the source does not name its model or tokenizer, or they do not fit together.
    """
    model = model or model_of(source)
    tokenizer = tokenizer or tokenizer_of(source)
    if model is None or tokenizer is None:
        missing = "model" if model is None else "tokenizer"
        raise InputError(f"{source} does not name its {missing}; give it as {missing}=")
    check_model_config(model)
    loaded_tokenizer = load_tokenizer(tokenizer)
    device_mesh = make_mesh(mesh)
    check_vocabulary(model, loaded_tokenizer.path, loaded_tokenizer.vocab_size)
    params = load_params(source, model, abstract_params_on(model, device_mesh))
    row_tokenizer = RowTokenizer(
        loaded_tokenizer,
        _row_format(source, loaded_tokenizer, getattr(model, "start_id", None)),
        model.architecture,
    )
    stop_ids = row_tokenizer.tokens.stop_ids
    scorer = Scorer(model, params, device_mesh, rows=rows, stop_ids=stop_ids)
    return FlanJaxLM(scorer, row_tokenizer, lengths)


def _row_format(source: str, tokenizer: Tokenizer, start_id: int | None) -> RowFormat:
    """Returns the row format of a source, of which the harness takes the start token alone."""
    setting = default_row_format(source) or "flan"
    if setting == "chat":
        # The harness puts BOS before each text if the tokenizer does, whatever its template says.
        setting = "text"
    return make_row_format(format_of_json(setting, source), tokenizer, start_id)


class FlanJaxLM(TemplateLM):
    """A model of flan_jax, asked exactly as the harness asks its own Hugging Face models.

    Nothing stands between a context and its continuation. A decoder reads them as one text, after
    the row format's start token if it has one; an encoder-decoder reads the context with EOS and
    writes the continuation. Contexts that are too long lose their beginning, so that the question
    at the end of a few-shot prompt stays; continuations are never cut. Log-likelihoods are in nats.
    """

    def __init__(
        self, scorer: Scorer, row_tokenizer: RowTokenizer, lengths: Mapping[str, int]
    ):
        """Wraps a scorer.

        Args:
          scorer: the model with its parameters.
          row_tokenizer: knows the start token, EOS, and how texts are tokenized.
          lengths: {"inputs": tokens of a prompt, "targets": tokens of an answer}. A decoder reads
            their sum; an encoder-decoder's continuations may be longer than "targets".
        """
        super().__init__()
        self._scorer = scorer
        self._row_tokenizer = row_tokenizer
        self._tokenizer = row_tokenizer.tokenizer
        self._lengths = lengths
        is_decoder = scorer.architecture == "decoder"
        self.backend = "causal" if is_decoder else "seq2seq"

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self._tokenizer.eos_id

    @property
    def prefix_token_id(self) -> int:
        """The token that a text follows where the context is empty."""
        if self._tokenizer.bos_id is not None:
            return self._tokenizer.bos_id
        if self.backend == "causal" and self._start is not None:
            return self._start
        return self._tokenizer.eos_id

    @property
    def max_length(self) -> int:
        """Tokens that the model reads: context and continuation of a decoder, else the context."""
        if self.backend == "causal":
            return self._lengths["inputs"] + self._lengths["targets"]
        return self._lengths["inputs"]

    @property
    def tokenizer_name(self) -> str:
        """Names the chat template in the harness's cache of requests."""
        return self._tokenizer.path

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Returns the chat template in the tokenizer's folder; "" if none is asked for.

        Args:
          chat_template: whether there is to be one.

        Raises:
          InputError: there is none, or one of several is asked for by name.
        """
        if not chat_template:
            return ""
        if isinstance(chat_template, str):
            raise InputError(
                f"chat_template={chat_template!r} names a template; flan_jax reads one a folder. "
                "Write apply_chat_template=True, and the template into chat_template.jinja"
            )
        folder = Path(self._tokenizer.path).parent
        template = find_chat_template(folder)
        if template is None:
            raise InputError(
                f"{folder} has no chat template; leave out apply_chat_template"
            )
        return template

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Returns a conversation as one text.

        Args:
          chat_history: {"role": ..., "content": ...} of each message.
          add_generation_prompt: whether the assistant's turn is opened behind them.
        """
        return render_chat(
            self.chat_template(True),
            chat_history,
            special_token_variables(Path(self._tokenizer.path).parent),
            generate=add_generation_prompt,
        )

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: object
    ) -> list[int]:
        """Returns the tokens of a text, in which the spelling of a special token is that token.

        Args:
          string: the text.
          add_special_tokens: whether a decoder's start token comes before the text, unless it
            begins with it, and EOS behind a text for an encoder. None for True.
          **kwargs: the harness's arguments for other models.
        """
        tokens = self._row_tokenizer.encode_markup(string)
        if add_special_tokens is False:
            return tokens
        if self.backend == "seq2seq":
            return [*tokens, self._tokenizer.eos_id]
        if self._start is None or tokens[:1] == [self._start]:
            return tokens
        return [self._start, *tokens]

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        **kwargs: object,
    ) -> list[tuple[float, bool]]:
        """Scores continuations; requests with the same context are scored together.

        Args:
          requests: (the texts, the context's tokens, the continuation's tokens) of each.
          **kwargs: the harness's arguments for other models.

        Returns:
          (log P(continuation | context), whether greedy decoding gives the continuation) of each.
          Of several tokens that are most probable greedy decoding takes the first.

        Raises:
          InputError: a continuation does not fit into the model's length.
        """
        if not requests:
            return []
        by_context: dict[tuple[int, ...], list[int]] = {}
        for number, (_, context, continuation) in enumerate(requests):
            context = self._cut_left(context, len(continuation))
            by_context.setdefault(tuple(context), []).append(number)

        prompts: list[np.ndarray] = []
        answers: list[list[np.ndarray]] = []
        for context, numbers in by_context.items():
            continuations = [requests[number][2] for number in numbers]
            prompts.append(np.array(context, np.int32))
            answers.append([np.array(tokens, np.int32) for tokens in continuations])
        scores = self._scorer.log_probs_and_greedy(prompts, answers)

        results = [(0.0, False)] * len(requests)
        for numbers, (sums, is_greedy) in zip(by_context.values(), scores, strict=True):
            for position, number in enumerate(numbers):
                results[number] = (float(sums[position]), bool(is_greedy[position]))
        return results

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Scores whole texts.

        A text that is longer than the model reads is scored in windows, each after the last token
        of the one before. The first one follows prefix_token_id.

        Args:
          requests: the arguments of each are (text,).
          disable_tqdm: has no effect.

        Returns:
          log P(text) of each.
        """
        windows: list[tuple[None, list[int], list[int]]] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            (text,) = _arguments(request)
            overlapping = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for context, window in map(utils.make_disjoint_window, overlapping):
                windows.append((None, context, window))
                owners.append(number)

        totals = [0.0] * len(requests)
        results = self._loglikelihood_tokens(windows)
        for owner, (log_prob, _) in zip(owners, results, strict=True):
            totals[owner] += log_prob
        return totals

    def generate_until(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[str]:
        """Generates the text after each context, up to the first of its stop strings.

        Args:
          requests: the arguments of each are (context, generation_kwargs).
          disable_tqdm: has no effect.

        Raises:
          InputError: generation_kwargs has an unknown setting or a value of the wrong type.
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
                tokens = self.tok_encode(context) or [self.prefix_token_id]
                # All new tokens are read, unlike those of a continuation.
                tokens = self._cut_left(tokens, config.new_tokens + 1)
                prompts.append(np.array(tokens, np.int32))
            # A request's random stream is its number: what is sampled depends on no other request.
            generated = self._scorer.generate(prompts, config, numbers)
            for number, new_tokens in zip(numbers, generated, strict=True):
                text = self._tokenizer.decode(new_tokens.tolist())
                _, settings = _arguments(requests[number])
                texts[number] = _cut_at_stop(text, settings.get("until"))
        return texts

    @property
    def _start(self) -> int | None:
        """The token before a decoder's text; None for none."""
        return self._row_tokenizer.tokens.start

    def _cut_left(self, context: list[int], new_tokens: int) -> list[int]:
        """Returns the end of a context that fits into the model with so many new tokens.

        Raises:
          InputError: the new tokens alone do not fit.
        """
        if self.backend == "seq2seq":
            return context[-self.max_length :]
        # The last token of a continuation is predicted and not read.
        room = self.max_length + 1 - new_tokens
        if room < 1:
            raise InputError(
                f"a continuation has {new_tokens} tokens, and the model reads {self.max_length} "
                "with its context. Continuations are never cut; give longer lengths"
            )
        return context[-room:]


def _arguments(request: Instance) -> tuple[Any, ...]:
    """Returns the arguments of a request; their types depend on the kind of request."""
    return request.args


def _generation_config(settings: JsonObject, longest: int) -> GenerationConfig:
    """Returns the settings of a task's generation_kwargs.

    Args:
      settings: generation_kwargs.
      longest: the largest number of new tokens that the model allows.

    Raises:
      InputError: a setting is unknown (ignoring it would change the scores), or its value is of the
        wrong type.
    """
    for name in settings:
        if name not in KNOWN_SETTINGS:
            raise unknown_name("setting in generation_kwargs", name, KNOWN_SETTINGS)
    values: JsonObject = {
        name: _value(name, value)
        for name, value in settings.items()
        if name != "until" and value is not None
    }
    shared: JsonObject = {
        name: values[name] for name in SHARED_SETTINGS if name in values
    }

    has_temperature = shared.get("temperature", 0) > 0
    is_sampling = values.get("do_sample", has_temperature)
    if is_sampling:
        shared.setdefault("temperature", 1.0)
    else:
        for name in SAMPLING_SETTINGS:
            shared.pop(name, None)

    lengths = [values[name] for name in LENGTH_SETTINGS if name in values]
    max_length = min([longest, *lengths])
    return GenerationConfig(max_length, **shared)


def _value(name: str, value: object) -> bool | int | float:
    """Returns a setting of generation_kwargs; the command line gives numbers as text.

    Raises:
      InputError: it is neither a number nor true or false.
    """
    if isinstance(value, (bool, int, float)):
        return value
    try:
        parsed = json.loads(str(value).lower())
    except ValueError:
        parsed = None
    if not isinstance(parsed, (bool, int, float)):
        raise InputError(
            f"generation_kwargs has {name}={value!r}; write a number, or true or false for "
            "do_sample"
        )
    return parsed


def _cut_at_stop(text: str, until: str | Sequence[str] | None) -> str:
    """Returns the text before the first of the stop strings."""
    stops = [until] if isinstance(until, str) else until or []
    ends = [text.index(stop) for stop in stops if stop and stop in text]
    end = min(ends, default=len(text))
    return text[:end]
