"""Training stores of given tokens."""

import pyarrow as pa

from flan_jax.data.token_store import schema, segment_column, token_column, write_store


def segment_batch(examples, vocab_size):
    """A record batch of examples, each a list of (token ids, has_loss); templates are 0, 1, 2, ..."""
    segments = [segment for example in examples for segment in example]
    tokens = token_column([ids for ids, _ in segments], vocab_size)
    has_loss = [loss for _, loss in segments]
    numbers = range(len(examples))
    columns = [
        segment_column(examples, tokens, has_loss),
        pa.array(numbers, pa.int32()),
        pa.array([number % 3 for number in numbers], pa.int16()),
    ]
    return pa.record_batch(columns, schema("train", vocab_size))


def write_segments(folder, examples, *, vocab_size):
    """Writes a training store of examples as in `segment_batch`; returns its folder."""
    batch = segment_batch(examples, vocab_size)
    meta = {"task": folder.name, "examples": len(examples)}
    write_store(folder, [batch], schema=batch.schema, meta=meta)
    return folder


def input_and_target_tokens(store):
    """The tokens of each row of a store whose examples are an input and a target, as two lists."""
    if store.meta["kind"] == "eval":
        rows = [(store.inputs.row(i), store.targets.row(i)) for i in range(len(store))]
    else:
        rows = []
        for i in range(len(store)):
            inputs, targets = store.segments.example(i)
            assert (inputs.has_loss, targets.has_loss) == (False, True)
            rows.append((inputs.tokens, targets.tokens))
    return [inputs.tolist() for inputs, _ in rows], [
        targets.tolist() for _, targets in rows
    ]
