"""Launch engines that hand a sweep's runs to a queue: one file each, which registers itself."""

import importlib
import pkgutil

from flan_jax.sweeps.queue import ENGINES, register_engine

__all__ = ["ENGINES", "register_engine"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
