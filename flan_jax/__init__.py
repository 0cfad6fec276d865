"""Instruction tuning in JAX: FLAN tasks, a packed and sharded Flax trainer, held-out evaluation."""
