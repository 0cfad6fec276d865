"""What a task's code and settings look like, as one hash: a store is made again exactly when it would come out otherwise."""

import dataclasses
import functools
import hashlib
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

_INSTALLED = tuple(
    {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def fingerprint(*values: Any, follow: str = "") -> str:
    """32 hex digits of plain data, dataclasses and functions, stable from process to process.

    A function counts with its bytecode, constants, defaults and closure, and with the functions and values that it
    names, in turn. Installed packages (but for `follow`, a module of the user's) and flan_jax itself count by the names
    alone: flan_jax.data.token_store.STORE_VERSION is for these. Line numbers and comments do not count. Another Python version
    compiles to other bytecode and so to another fingerprint.
    """
    return hashlib.sha256(_Description(follow.partition(".")[0]).of(values).encode()).hexdigest()[
        :32
    ]


class _Description:
    """A text for each value. What is being described, or was if it is code, is described by a back reference."""

    def __init__(self, follow: str):
        self._follow = follow
        self._code: dict[int, str] = {}
        self._open: set[int] = set()

    def of(self, value: Any) -> str:
        if (
            value is None
            or value is Ellipsis
            or isinstance(value, (bool, int, float, complex, str, bytes))
        ):
            return f"{type(value).__name__}:{value!r}"
        if isinstance(value, (types.FunctionType, type)):
            return self._once(value)
        # Equal constants may be one object in one process and two in another, so only cycles are cut here.
        if id(value) in self._open:
            return "cycle"
        self._open.add(id(value))
        try:
            return f"{type(value).__module__}.{type(value).__qualname__}({self._inside(value)})"
        finally:
            self._open.discard(id(value))

    def _inside(self, value: Any) -> str:
        if isinstance(value, Mapping):
            return self._all(part for item in value.items() for part in item)
        if isinstance(value, (set, frozenset)):  # their order differs from process to process
            return ",".join(sorted(self.of(item) for item in value))
        if isinstance(value, (list, tuple)):
            return self._all(value)
        if isinstance(value, types.CodeType):
            return self._code_object(value)
        if isinstance(value, re.Pattern):
            return self._all((value.pattern, value.flags))
        if isinstance(value, functools.partial):
            return self._all((value.func, value.args, value.keywords))
        if isinstance(value, types.MethodType):
            return self._all((value.__func__, value.__self__))
        if isinstance(value, types.ModuleType):
            return value.__name__
        if dataclasses.is_dataclass(value):
            fields = [
                part for f in dataclasses.fields(value) for part in (f.name, getattr(value, f.name))
            ]
            return self._all([type(value), *fields])
        if isinstance(value, np.ndarray):
            return self._all((value.dtype.str, value.shape, value.tobytes()))
        if isinstance(value, property):
            return self._all((value.fget, value.fset))
        if hasattr(value, "__wrapped__"):  # functools.lru_cache, staticmethod and the like
            return self.of(value.__wrapped__)
        if self._is_followed(type(value).__module__):
            return self._all((type(value), getattr(value, "__dict__", {})))
        return "" if " at 0x" in repr(value) else repr(value)

    def _is_followed(self, module: str | None) -> bool:
        """Whether a module is the user's own code, rather than flan_jax or an installed package."""
        top = (module or "").partition(".")[0]
        if top in sys.stdlib_module_names or top in ("", "flan_jax"):
            return False
        file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
        return top == self._follow or not file.startswith(_INSTALLED)

    def _all(self, values: Iterable[Any]) -> str:
        return ",".join(map(self.of, values))

    def _once(self, value: Any) -> str:
        name = f"{value.__module__}.{value.__qualname__}"
        if id(value) in self._code or not self._is_followed(value.__module__):
            return self._code.get(id(value), name)
        self._code[id(value)] = f"again:{name}"
        return f"{name}({self._function(value) if isinstance(value, types.FunctionType) else self._class(value)})"

    def _function(self, function: types.FunctionType) -> str:
        cells = [_cell(cell) for cell in function.__closure__ or ()]
        values = [function.__code__, function.__defaults__, function.__kwdefaults__, cells]
        names = _names(function.__code__)
        for name in names:
            value = function.__globals__.get(name)
            values += [name, value]
            if isinstance(value, types.ModuleType) and self._is_followed(value.__name__):
                values += [getattr(value, attribute, None) for attribute in names]
        return self._all(values)

    def _class(self, cls: type) -> str:
        return self._all(
            [
                *cls.__bases__,
                *(part for item in vars(cls).items() for part in item if _is_shaping(*item)),
            ]
        )

    def _code_object(self, code: types.CodeType) -> str:
        return self._all(
            (code.co_code, code.co_names, code.co_consts, code.co_argcount, code.co_kwonlyargcount)
        )


def _names(code: types.CodeType) -> list[str]:
    nested = [
        name
        for const in code.co_consts
        if isinstance(const, types.CodeType)
        for name in _names(const)
    ]
    return list(dict.fromkeys([*code.co_names, *nested]))


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is bound later
        return None


def _is_shaping(name: str, value: Any) -> bool:
    """Whether a class attribute may change what its methods do: not its place in a file, not its docstring."""
    if name in (
        "__module__",
        "__doc__",
        "__firstlineno__",
        "__static_attributes__",
        "__dict__",
        "__weakref__",
    ):
        return False
    return not name.startswith("__") or isinstance(value, types.FunctionType)
