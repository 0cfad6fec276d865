"""What a model says about given prompts: log-probabilities of answers, and continuations."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flan_jax.batch import Architecture
from flan_jax.decoding.generation import GenerationConfig, continuations
from flan_jax.decoding.option_scoring import (
    Answers,
    cached_option_batch,
    cached_option_sums,
    packed_option_batch,
    packed_option_log_probs,
)
from flan_jax.decoding.prefill import bucket, prompt_batch
from flan_jax.errors import InputError
from flan_jax.hardware import memory_of
from flan_jax.parallel import multihost
from flan_jax.parallel.sharding import global_batch, replicated, use_mesh


class Scorer:
    """Log-probabilities of answers to prompts, and continuations, in batches of `rows` rows on `mesh`.

    Token arrays come with their EOS and within the lengths that the model is to see. Prompts of like length go into a
    batch together; what is returned is in the order of the prompts, and the same however many rows there are.
    """

    def __init__(self, config: Any, params: Any, mesh: Mesh, *, rows: int, eos_id: int):
        ways = mesh.shape["data"] * mesh.shape["fsdp"]
        self.architecture: Architecture = config.architecture
        self.model, self.params, self.mesh, self.eos_id = config.build(), params, mesh, eos_id
        self.rows = -(-rows // ways) * ways
        # Hosts whose devices report other sizes must run the same program all the same.
        self.regathers = multihost.broadcast_from_zero(self._too_large_to_gather())

    def log_probs(
        self, prompts: Sequence[np.ndarray], answers: Sequence[Sequence[np.ndarray]]
    ) -> list[np.ndarray]:
        """For each prompt, float32[answers]: the sum of the log-probabilities of each answer's tokens.

        A prompt is read once for all its answers. Raises InputError for a prompt or an answer without tokens.
        """
        if not all(len(choices) and all(map(len, choices)) for choices in answers):
            raise InputError(
                "a prompt has no answers or an answer no tokens; an answer holds at least its EOS"
            )
        sums: list[np.ndarray] = [np.zeros(0, np.float32)] * len(prompts)
        for some in self._batches(prompts):
            function, batch = self.ranking([prompts[i] for i in some], [answers[i] for i in some])
            found = np.asarray(self._run(function, batch))
            if self.architecture == "encoder_decoder":
                found = [
                    np.bincount(*row)[1:]
                    for row in zip(batch["decoder_segment_ids"], found, strict=True)
                ]
            for i, row in zip(some, found, strict=False):
                sums[i] = row[: len(answers[i])].astype(np.float32)
        return sums

    def ranking(
        self, prompts: Sequence[np.ndarray], answers: Answers
    ) -> tuple[Any, dict[str, np.ndarray]]:
        """(the function under jax.jit, its batch): what log_probs runs with the parameters, on at most `rows` prompts."""
        if self.architecture == "encoder_decoder":
            return _compiled(packed_option_log_probs, self.model, self.mesh), packed_option_batch(
                prompts, answers, self.rows
            )
        return _compiled(cached_option_sums, self.model, self.mesh), cached_option_batch(
            prompts, answers, self.rows
        )

    def generate(
        self,
        prompts: Sequence[np.ndarray],
        config: GenerationConfig,
        streams: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """For each prompt the tokens that follow it, up to config.max_length, EOS left out.

        `streams`: the number of each prompt's random stream, for sampling (None: 0, 1, 2 ... in the order of the
        prompts). What is sampled depends on the prompt, the seed and that number alone.
        """
        streams = range(len(prompts)) if streams is None else streams
        if len(streams) != len(prompts):
            raise InputError(
                f"{len(prompts)} prompts have {len(streams)} streams; write one for each prompt"
            )
        found: list[np.ndarray] = [np.zeros(0, np.int32)] * len(prompts)
        for some in self._batches(prompts):
            function, batch = self.writing(
                [prompts[i] for i in some], config, [streams[i] for i in some]
            )
            written = np.asarray(self._run(function, batch, config.settings()))
            for i, row in zip(some, written[:, : config.new_tokens], strict=False):
                ends = np.flatnonzero(row == self.eos_id)
                found[i] = row[: ends[0]] if len(ends) else row
        return found

    def writing(
        self, prompts: Sequence[np.ndarray], config: GenerationConfig, streams: Sequence[int]
    ) -> tuple[Any, dict[str, np.ndarray]]:
        """(the function under jax.jit, its batch): what generate runs with the parameters, on at most `rows` prompts.

        Its third argument is config.settings().
        """
        static = {
            "length": bucket(config.new_tokens),
            "eos_id": self.eos_id,
            "regathers": self.regathers,
        }
        batch = prompt_batch(self.architecture, prompts, self.rows)
        batch["streams"] = np.full(self.rows, -1, np.int32)
        batch["streams"][: len(streams)] = streams
        return _compiled(continuations, self.model, self.mesh, **static, **config.compiled()), batch

    def _too_large_to_gather(self) -> bool:
        """Whether generation gathers what fsdp splits of the parameters anew for each token. Once is quicker, but keeps them whole.

        A third of a device's memory may go to that: where fsdp has two ways its own parts take as much, in float32, and the
        cache has the rest. Adam's moments beside them may take too much of it; preflight says so.
        """
        if self.mesh.shape["fsdp"] == 1:
            return False
        width = jnp.dtype(self.model.config.dtype).itemsize
        read = {
            name: part for name, part in self.params.items() if name != "encoder"
        }  # which reads the prompts alone
        whole = width * sum(leaf.size for leaf in jax.tree.leaves(read)) / self.mesh.shape["tensor"]
        memory = memory_of(list(self.mesh.devices.flat))
        return memory is None or whole > memory / 3

    def _batches(self, prompts: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """The numbers of the prompts of each batch."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in range(0, len(order), self.rows):
            yield order[start : start + self.rows]

    def _run(self, function: Any, batch: dict[str, np.ndarray], *arguments: Any) -> jax.Array:
        placed = global_batch(batch, self.mesh, self.rows)
        with use_mesh(self.mesh):
            return function(self.params, placed, *arguments)


@functools.lru_cache(maxsize=64)
def _compiled(function: Any, model: nn.Module, mesh: Mesh, **static: Any) -> Any:
    """jax.jit, made once for each function, model and mesh, so that scoring before and after training compiles once.

    What it returns is whole on every device: each of several processes reads all of it.
    """
    return jax.jit(functools.partial(function, model, **static), out_shardings=replicated(mesh))
