"""Scores options and generates text in batches on a device mesh."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flan_jax.batch import Architecture
from flan_jax.decoding.generation import (
    NOT_FINITE,
    GenerationConfig,
    StaticSettings,
    generate_tokens,
)
from flan_jax.decoding.option_scoring import (
    Options,
    OptionScores,
    cached_option_batch,
    cached_option_scores,
    packed_option_batch,
    packed_option_scores,
)
from flan_jax.decoding.prefill import bucket, prompt_batch
from flan_jax.errors import InputError, is_whole
from flan_jax.hardware import memory_of
from flan_jax.models.config import Model, ModelConfig
from flan_jax.models.params import not_finite_params
from flan_jax.parallel import multihost
from flan_jax.parallel.sharding import global_batch, replicated, use_mesh
from flan_jax.pytrees import Params, Tree

Program: TypeAlias = Callable[..., Tree]
"""A function under jax.jit: (params, batch, ...) -> an array or OptionScores."""


class Scorer:
    """Scores options and generates text for prompts, in batches on a device mesh.

    Token arrays are as the row format writes them (a decoder's prompts with their start token) and
    within the lengths that the model is to see. Prompts of
    similar length go into one batch. Results are in the order of the prompts, and do not depend on
    the number of rows.

    Attributes:
      rows: the rows of a batch.
      gather_per_token: see `DecodeState`.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: Params,
        mesh: Mesh,
        *,
        rows: int,
        stop_ids: Sequence[int],
    ):
        """Builds the model.

        Args:
          config: the configuration of the model.
          params: its parameters, placed on the mesh.
          mesh: the device mesh.
          rows: the rows of a batch; rounded up to a multiple of the mesh's data and fsdp axes.
          stop_ids: the tokens that end a text, at least one.

        Raises:
          InputError: `rows` is no whole number of at least 1.
        """
        if not is_whole(rows) or rows < 1:
            raise InputError(f"rows is {rows!r}; write a whole number of at least 1")
        row_shards = mesh.shape["data"] * mesh.shape["fsdp"]
        self.architecture: Architecture = config.architecture
        self.model = config.build()
        self.params = params
        self.mesh = mesh
        self.stop_ids = tuple(stop_ids)
        self.rows = -(-rows // row_shards) * row_shards
        # All hosts must run the same program, even if their devices report different sizes.
        self.gather_per_token = multihost.broadcast_from_zero(
            self._is_too_large_to_gather()
        )

    def log_probs(
        self, prompts: Sequence[np.ndarray], options: Options
    ) -> list[np.ndarray]:
        """Computes the log-probability of each option after its prompt.

        A prompt is read once for all its options.

        Args:
          prompts: token arrays.
          options: the options of each prompt, token arrays.

        Returns:
          For each prompt float32[options]: the sum over the option's tokens, in nats.

        Raises:
          InputError: a prompt or an option has no tokens, or a prompt has no options, or the
            model's results are NaN or infinite.
        """
        return [sums for sums, _ in self._score_options(prompts, options)]

    def log_probs_and_greedy(
        self, prompts: Sequence[np.ndarray], options: Options
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Computes the log-probability of each option, and whether it is greedy.

        Args:
          prompts: token arrays.
          options: the options of each prompt, token arrays.

        Returns:
          For each prompt (float32[options] as of `log_probs`, bool[options]). An option is greedy
          if each of its tokens is the most probable one, and the first of several that are.

        Raises:
          InputError: as `log_probs`.
        """
        results: list[tuple[np.ndarray, np.ndarray]] = []
        for sums, is_greedy in self._score_options(prompts, options, with_greedy=True):
            assert is_greedy is not None  # it was asked for
            results.append((sums, is_greedy))
        return results

    def _score_options(
        self,
        prompts: Sequence[np.ndarray],
        options: Options,
        *,
        with_greedy: bool = False,
    ) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Returns (the sums, is_greedy or None) of the options of each prompt."""
        _check_options(options)
        nothing = (np.zeros(0, np.float32), None)
        results: list[tuple[np.ndarray, np.ndarray | None]] = [nothing] * len(prompts)
        for indices in self._batches(prompts):
            batch_prompts = [prompts[i] for i in indices]
            batch_options = [options[i] for i in indices]
            program, batch = self.option_scoring_program(
                batch_prompts, batch_options, with_greedy=with_greedy
            )
            scores: OptionScores = self._run(program, batch)
            sums = np.asarray(scores.log_probs)
            greedy = None if scores.is_greedy is None else np.asarray(scores.is_greedy)
            if self.architecture == "encoder_decoder":
                segment_ids = batch["decoder_segment_ids"]
                sums = _sum_segments(segment_ids, sums)
                if greedy is not None:
                    misses = _sum_segments(segment_ids, ~greedy)
                    greedy = [row_misses == 0 for row_misses in misses]

            for row, i in enumerate(indices):
                count = len(options[i])
                option_sums = sums[row][:count].astype(np.float32)
                if not np.isfinite(option_sums).all():
                    raise self._not_finite()
                results[i] = (
                    option_sums,
                    None if greedy is None else greedy[row][:count],
                )
        return results

    def option_scoring_program(
        self,
        prompts: Sequence[np.ndarray],
        options: Options,
        *,
        with_greedy: bool = False,
    ) -> tuple[Program, dict[str, np.ndarray]]:
        """Returns what `log_probs` runs on one batch.

        Args:
          prompts: at most `rows` token arrays.
          options: the options of each prompt.
          with_greedy: whether the program also says which options are greedy.

        Returns:
          (the program, its batch). The program's arguments are the parameters and the batch; it
          returns OptionScores, of tokens for an encoder-decoder and of options for a decoder.
        """
        if self.architecture == "encoder_decoder":
            function = packed_option_scores
            batch = packed_option_batch(prompts, options, self.rows)
        else:
            function = cached_option_scores
            batch = cached_option_batch(prompts, options, self.rows)
        program = _compiled(function, self.model, self.mesh, with_greedy=with_greedy)
        return program, batch

    def generate(
        self,
        prompts: Sequence[np.ndarray],
        config: GenerationConfig,
        streams: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """Generates the text that follows each prompt.

        Args:
          prompts: token arrays.
          config: how to generate.
          streams: the number of each prompt's random stream, for sampling; None for 0, 1, 2 ... in
            the order of the prompts. What is sampled depends on the prompt, the seed and this
            number alone.

        Returns:
          For each prompt int32[tokens], at most config.max_length tokens, before the first of
          stop_ids.

        Raises:
          InputError: a prompt has no tokens, or there is not one stream for each prompt, or the
            model's results are NaN or infinite.
        """
        if streams is None:
            streams = range(len(prompts))
        if len(streams) != len(prompts):
            raise InputError(
                f"{len(prompts)} prompts have {len(streams)} streams; write one for each prompt"
            )
        results: list[np.ndarray] = [np.zeros(0, np.int32)] * len(prompts)
        for indices in self._batches(prompts):
            batch_prompts = [prompts[i] for i in indices]
            batch_streams = [streams[i] for i in indices]
            program, batch = self.generation_program(
                batch_prompts, config, batch_streams
            )
            generated = np.asarray(self._run(program, batch, config.array_settings()))
            # The batch may have rows of padding, and more tokens than were asked for.
            for i, row in zip(indices, generated, strict=False):
                new_tokens = row[: config.new_tokens]
                if NOT_FINITE in new_tokens:
                    raise self._not_finite()
                results[i] = self._before_stop(new_tokens)
        return results

    def generation_program(
        self,
        prompts: Sequence[np.ndarray],
        config: GenerationConfig,
        streams: Sequence[int],
    ) -> tuple[Program, dict[str, np.ndarray]]:
        """Returns what `generate` runs on one batch.

        Args:
          prompts: at most `rows` token arrays.
          config: how to generate.
          streams: the number of each prompt's random stream.

        Returns:
          (the program, its batch). The program's arguments are the parameters, the batch and
          config.array_settings().
        """
        static = StaticSettings.of(
            config,
            length=bucket(config.new_tokens),
            stop_ids=self.stop_ids,
            gather_per_token=self.gather_per_token,
        )
        batch = prompt_batch(self.architecture, prompts, self.rows)
        batch["streams"] = np.full(self.rows, -1, np.int32)
        batch["streams"][: len(streams)] = streams
        program = _compiled(generate_tokens, self.model, self.mesh, static=static)
        return program, batch

    def _before_stop(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the tokens before the first of stop_ids; all of them if there is none."""
        ends = np.flatnonzero(np.isin(tokens, self.stop_ids))
        return tokens[: ends[0]] if len(ends) else tokens

    def _not_finite(self) -> InputError:
        """Returns the error for logits that are NaN or infinite."""
        dtype = self.model.config.dtype
        damaged = not_finite_params(self.params)
        if damaged:
            cause = (
                f"these parameters hold NaN or infinite values: {', '.join(damaged)}. "
                "Take another checkpoint"
            )
        else:
            cause = (
                f"the parameters are finite, so that numbers overflow when computed in {dtype}. "
                "Write dtype = 'float32' for the model, or take another checkpoint"
            )
        return InputError(f"the model's logits are NaN or infinite; {cause}")

    def _is_too_large_to_gather(self) -> bool:
        """Returns whether generation gathers parameters that fsdp splits for each token.

        Gathering them once is faster, but keeps a whole copy of the parameters. That copy may take
        a third of a device's memory: with an fsdp axis of two the device's own share takes as much,
        in float32, and the KV cache has the rest. Adam's moments beside them may take too much of
        it, which preflight reports.
        """
        if self.mesh.shape["fsdp"] == 1:
            return False
        # The encoder reads the prompts only, before the loop over tokens.
        decoder = dict(self.params)
        decoder.pop("encoder", None)
        count = sum(leaf.size for leaf in jax.tree.leaves(decoder))
        item_size = jnp.dtype(self.model.config.dtype).itemsize
        gathered_bytes = item_size * count / self.mesh.shape["tensor"]

        devices = list(self.mesh.devices.flat)
        memory = memory_of(devices)
        return memory is None or gathered_bytes > memory / 3

    def _batches(self, prompts: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """Yields the indices of the prompts of each batch; similar lengths go together."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in range(0, len(order), self.rows):
            yield order[start : start + self.rows]

    def _run(
        self, program: Program, batch: dict[str, np.ndarray], *arguments: object
    ) -> Tree:
        placed = global_batch(batch, self.mesh, self.rows)
        with use_mesh(self.mesh):
            return program(self.params, placed, *arguments)


def _check_options(options: Options) -> None:
    """Raises InputError unless each prompt has options and each option has tokens."""
    for row_options in options:
        lengths = [len(option) for option in row_options]
        if not lengths or 0 in lengths:
            raise InputError(
                "a prompt has no answers or an answer no tokens; an answer holds at least its end"
            )


def _sum_segments(segment_ids: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Sums the values of each segment of a row; padding, segment 0, is left out."""
    sums: list[np.ndarray] = []
    for row_ids, row_values in zip(segment_ids, values, strict=True):
        sums.append(np.bincount(row_ids, row_values)[1:])
    return sums


@functools.lru_cache(maxsize=64)
def _compiled(
    function: Callable[..., Tree], model: Model, mesh: Mesh, **static: object
) -> Program:
    """Returns the function under jax.jit.

    It is made once for each function, model and mesh, so that scoring before and after training
    compiles once. Its result is replicated, as every process reads all of it.
    """
    program = functools.partial(function, model, **static)
    return jax.jit(program, out_shardings=replicated(mesh))
