"""Instruction tuning in JAX: FLAN's tasks, a packed and sharded Flax trainer, held-out-cluster evaluation."""
