"""Models in flax.linen: batches in, logits out."""
