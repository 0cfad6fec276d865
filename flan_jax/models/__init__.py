"""Models in flax.linen: batches in, logits out. Nothing below imports tensorflow or flan_jax.data."""
