"""Summarizes a mixture before training: rows, rates, epochs, lengths, truncation, packing."""

from collections.abc import Mapping

import numpy as np

from flan_jax.data.batch_plan import MixturePlan, RowLayout
from flan_jax.data.loader import fit_segments
from flan_jax.data.mixture_data import MixtureData, task_lengths
from flan_jax.data.token_store import TokenSegment, TokenStore
from flan_jax.run_records import MixtureSummary, MixtureTask


def summarize_mixture(
    data: MixtureData, plan: MixturePlan, steps: int
) -> MixtureSummary:
    """Returns what a run trains on, in numbers. Packing is measured on the plan's first block.

    Args:
      data: the token stores of the mixture.
      plan: the plan of its batches.
      steps: training steps, over which epochs are counted.
    """
    block, _ = plan.block(0)
    input_lengths, target_lengths = plan.example_lengths(block.task, block.index)
    inputs, targets = int(input_lengths.sum()), int(target_lengths.sum())
    supervised = targets
    if plan.architecture == "decoder":
        supervised += _input_tokens_with_loss(data, plan, block)
    examples_per_batch = len(block.index) / plan.block_steps

    tasks = []
    cluster_of = data.config.cluster_of_each(plan.names)
    shares = plan.rates / plan.rates.sum()
    for name, rate, share in zip(plan.names, plan.rates, shares, strict=True):
        draws = float(share * examples_per_batch * steps)
        store = data.train[name]
        tasks.append(
            _summarize_task(
                name,
                store,
                plan.lengths,
                cluster=cluster_of[name],
                rate=int(rate),
                share=float(share),
                draws=draws,
            )
        )

    return MixtureSummary(
        tasks=tuple(tasks),
        held_out=data.split.held_out,
        rows_filled=_rows_filled(plan, inputs, targets),
        examples_per_batch=examples_per_batch,
        supervised_tokens_per_batch=supervised / plan.block_steps,
        batch_size=plan.batch_size,
        lengths=plan.lengths,
        steps=steps,
    )


def example_row(data: MixtureData, plan: MixturePlan) -> str:
    """Returns the shortest example of the first row, its special tokens visible.

    >>> example_row(data, plan)
    "<s>[INST] Is it raining?[/INST] yes</s>"

    Args:
      data: the token stores of the mixture.
      plan: the plan of its batches.
    """
    row_tokenizer = data.row_tokenizer
    examples = []
    for ref in plan.rows(0)[0]:
        segments = data.train[ref.task].segments.example(ref.index)
        examples.append(fit_segments(segments, plan.lengths, row_tokenizer.tokens))
    inputs, targets = min(examples, key=lambda example: sum(map(_size, example[0])))
    input_ids = [token for segment in inputs for token in segment.tokens.tolist()]
    target_ids = targets.tokens.tolist()
    start = row_tokenizer.tokens.start
    before = [] if start is None else [start]
    if plan.architecture == "encoder_decoder":
        encoder = row_tokenizer.spelled(input_ids)
        decoder = row_tokenizer.spelled([*before, *target_ids])
        return f"{encoder} -> {decoder}"
    return row_tokenizer.spelled([*before, *input_ids, *target_ids])


def _size(segment: TokenSegment) -> int:
    return len(segment.tokens)


def _input_tokens_with_loss(
    data: MixtureData, plan: MixturePlan, block: RowLayout
) -> int:
    """Returns the tokens with loss before the last segments of the examples in a block.

    An example of an input and a target has none, a conversation those of its earlier replies. Only
    a decoder is trained on them.

    Args:
      data: the token stores of the mixture.
      plan: the plan, which has the lengths that examples are cut to.
      block: the examples.
    """
    ends = data.row_tokenizer.tokens
    total = 0
    for number, name in enumerate(plan.names):
        store = data.train[name]
        segments = store.segments
        # The last segment of an example always has loss.
        if np.count_nonzero(segments.has_loss) == len(store):
            continue
        indices = block.index[block.task == number]
        for index in indices.tolist():
            inputs, _ = fit_segments(segments.example(index), plan.lengths, ends)
            total += sum(len(segment.tokens) for segment in inputs if segment.has_loss)
    return total


def _rows_filled(plan: MixturePlan, inputs: int, targets: int) -> dict[str, float]:
    """Returns the share of token positions that the examples of a block fill, for each side.

    Args:
      plan: the plan, whose blocks have block_steps batches.
      inputs: input tokens of one block.
      targets: target tokens of one block.
    """
    rows = plan.block_steps * plan.batch_size
    input_positions = rows * plan.lengths["inputs"]
    target_positions = rows * plan.lengths["targets"]
    if plan.architecture == "encoder_decoder":
        return {
            "inputs": inputs / input_positions,
            "targets": targets / target_positions,
        }
    # A decoder's row holds inputs and targets one after the other.
    filled = (inputs + targets) / (input_positions + target_positions)
    return {"inputs and targets": filled}


def _summarize_task(
    name: str,
    store: TokenStore,
    row_lengths: Mapping[str, int],
    *,
    cluster: str,
    rate: int,
    share: float,
    draws: float,
) -> MixtureTask:
    """Returns the summary of one task.

    Args:
      name: the task's name.
      store: its training store.
      row_lengths: tokens of a row, {"inputs": ..., "targets": ...}.
      cluster: the cluster that it is counted in.
      rate: its mixing rate.
      share: its share of all draws.
      draws: the number of its examples that training draws.
    """
    inputs, targets = task_lengths(store).untruncated()
    examples = store.meta["examples"]
    return MixtureTask(
        task=name,
        cluster=cluster,
        examples=examples,
        filtered=store.meta.get("filtered", 0),
        rate=rate,
        share=share,
        epochs=draws / examples,
        mean_inputs=float(np.mean(inputs)),
        p95_inputs=float(np.percentile(inputs, 95)),
        mean_targets=float(np.mean(targets)),
        p95_targets=float(np.percentile(targets, 95)),
        truncated_inputs=float(np.mean(inputs > row_lengths["inputs"])),
        truncated_targets=float(np.mean(targets > row_lengths["targets"])),
        provenance=store.meta.get("provenance", {}),
    )
