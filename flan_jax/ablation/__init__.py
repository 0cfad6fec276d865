"""Ablation sweeps: many runs that differ in a few settings, one report of all."""
