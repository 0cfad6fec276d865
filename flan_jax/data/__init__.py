"""Rows become tokens, a plan turns tokens into batches. Nothing below imports jax."""
