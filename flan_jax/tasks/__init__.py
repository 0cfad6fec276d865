"""How a task is defined: rows become fields, fields become text through templates.

This is the public face: a module that registers tasks needs no other import.

>>> from flan_jax.tasks import FormatTemplate, Jsonl, TemplatedTask, register
"""

from flan_jax.tasks import metrics
from flan_jax.tasks.metrics import register_metric
from flan_jax.tasks.mixtures import Mixture, register_mixture
from flan_jax.tasks.prompts import Prompts, register_instructions
from flan_jax.tasks.sources import Jsonl, Tfds
from flan_jax.tasks.task import Collection, TemplatedTask, register, register_collection
from flan_jax.tasks.templates import ClozeTemplate, FormatTemplate, Template

__all__ = [
    "ClozeTemplate",
    "Collection",
    "FormatTemplate",
    "Jsonl",
    "Mixture",
    "Prompts",
    "Template",
    "TemplatedTask",
    "Tfds",
    "metrics",
    "register",
    "register_collection",
    "register_instructions",
    "register_metric",
    "register_mixture",
]
