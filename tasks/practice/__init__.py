"""Practice rows of the tasks, one file per cluster.

A function `x(world, rng)` draws a row of the dataset x in its TFDS schema.
"""
