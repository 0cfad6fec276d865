"""Hashes of a task's code and settings. A token store is rebuilt when its hash changes."""

import dataclasses
import dis
import functools
import hashlib
import inspect
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping

import numpy as np

_INSTALLED = tuple(
    {
        sysconfig.get_path(kind)
        for kind in ("stdlib", "platstdlib", "purelib", "platlib")
    }
)
_FLAGS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
"""The flags of a code object that change what a call of it does. Others tell whether there is a
docstring, or where it was defined."""
_LOADS_CONSTANT = {dis.opmap.get("LOAD_CONST"), dis.opmap.get("RETURN_CONST")}


def fingerprint(*values: object, follow: str | tuple[str, ...] = ()) -> str:
    """Returns a hash of plain data, dataclasses and functions that is the same in all processes.

    A function counts with its bytecode, what its exception handlers cover, its arguments,
    constants, defaults and closure, and with the functions and values that it names, in turn. Line
    numbers, comments, docstrings and the names of local variables do not count.
    Installed packages and flan_jax itself count by the names alone; the version of token stores,
    flan_jax.data.token_store.STORE_VERSION, is for changes of these. Another Python version
    compiles to other bytecode and so to another fingerprint.

    Args:
      *values: what to describe.
      follow: a module, or several, whose code counts although it is in an installed package or in
        flan_jax. An installed package counts as a whole, flan_jax only with the modules named.

    Returns:
      32 hexadecimal digits.
    """
    modules = (follow,) if isinstance(follow, str) else follow
    text = _Description(modules).describe(values)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _Description:
    """Serializes values to canonical text; cycles and repeated functions become back references."""

    def __init__(self, follow: Iterable[str]):
        self._followed_modules = frozenset(follow)
        packages = {module.partition(".")[0] for module in self._followed_modules}
        self._followed_packages = packages - {"flan_jax"}
        self._code: dict[int, str] = {}
        self._open: set[int] = set()

    def describe(self, value: object) -> str:
        is_plain = isinstance(value, (bool, int, float, complex, str, bytes))
        if value is None or value is Ellipsis or is_plain:
            return f"{type(value).__name__}:{value!r}"
        if isinstance(value, (types.FunctionType, type)):
            return self._describe_code_once(value)
        # Equal constants may be one object in one process and two in another: only cycles are cut.
        if id(value) in self._open:
            return "cycle"
        self._open.add(id(value))
        try:
            contents = self._contents(value)
        finally:
            self._open.discard(id(value))
        return f"{type(value).__module__}.{type(value).__qualname__}({contents})"

    def _contents(self, value: object) -> str:
        if isinstance(value, Mapping):
            return self._describe_all(part for item in value.items() for part in item)
        if isinstance(value, (set, frozenset)):
            # Their order differs from process to process.
            return ",".join(sorted(self.describe(item) for item in value))
        if isinstance(value, types.CodeType):
            return self._code_object(value)
        if isinstance(value, types.ModuleType):
            return value.__name__

        parts = _parts(value)
        if parts is not None:
            return self._describe_all(parts)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:  # functools.lru_cache, staticmethod and the like
            return self.describe(wrapped)
        if self._is_followed(type(value).__module__):
            return self._describe_all((type(value), getattr(value, "__dict__", {})))
        return "" if " at 0x" in repr(value) else repr(value)

    def _is_followed(self, module: str | None) -> bool:
        """Returns whether a module counts with its code, rather than by the names in it alone."""
        module = module or ""
        package = module.partition(".")[0]
        if module in self._followed_modules:
            return True
        if package in sys.stdlib_module_names or package in ("", "flan_jax"):
            return False
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        return package in self._followed_packages or not file.startswith(_INSTALLED)

    def _describe_all(self, values: Iterable[object]) -> str:
        return ",".join(self.describe(value) for value in values)

    def _describe_code_once(self, value: types.FunctionType | type) -> str:
        name = f"{value.__module__}.{value.__qualname__}"
        if id(value) in self._code:
            return self._code[id(value)]
        if not self._is_followed(value.__module__):
            return name
        self._code[id(value)] = f"again:{name}"
        if isinstance(value, types.FunctionType):
            return f"{name}({self._function(value)})"
        return f"{name}({self._class(value)})"

    def _function(self, function: types.FunctionType) -> str:
        cells = [_cell_contents(cell) for cell in function.__closure__ or ()]
        values = [
            function.__code__,
            function.__defaults__,
            function.__kwdefaults__,
            cells,
        ]
        names = _names(function.__code__)
        for name in names:
            value = function.__globals__.get(name)
            values += [name, value]
            if isinstance(value, types.ModuleType) and self._is_followed(
                value.__name__
            ):
                values += [getattr(value, attribute, None) for attribute in names]
        return self._describe_all(values)

    def _class(self, cls: type) -> str:
        values: list[object] = [*cls.__bases__]
        for name, value in vars(cls).items():
            if _changes_behaviour(name, value):
                values += [name, value]
        return self._describe_all(values)

    def _code_object(self, code: types.CodeType) -> str:
        parts = (
            code.co_code,
            # Which instructions lie in a try block is told here alone.
            code.co_exceptiontable,
            code.co_names,
            _constants(code),
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_flags & _FLAGS,
            _argument_names(code),
        )
        return self._describe_all(parts)


def _parts(value: object) -> Iterable[object] | None:
    """Returns the values that a value consists of; None for a value of another type."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, re.Pattern):
        return (value.pattern, value.flags)
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords)
    if isinstance(value, types.MethodType):
        return (value.__func__, value.__self__)
    if dataclasses.is_dataclass(value):
        parts: list[object] = [type(value)]
        for field in dataclasses.fields(value):
            parts += [field.name, getattr(value, field.name)]
        return parts
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, property):
        return (value.fget, value.fset)
    return None


def _constants(code: types.CodeType) -> tuple[object, ...]:
    """Returns the constants without a docstring: a first constant that no instruction loads."""
    constants = code.co_consts
    if not constants or not isinstance(constants[0], str):
        return constants
    instructions = zip(code.co_code[::2], code.co_code[1::2], strict=True)
    is_loaded = any(
        opcode in _LOADS_CONSTANT and arg == 0 for opcode, arg in instructions
    )
    return constants if is_loaded else (None, *constants[1:])


def _argument_names(code: types.CodeType) -> tuple[str, ...]:
    """Returns the names that a caller may give arguments by; other local names do not count."""
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _names(code: types.CodeType) -> list[str]:
    """Returns the global names and attributes that a function and the functions in it use."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return list(dict.fromkeys(names))


def _cell_contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is bound later
        return None


def _changes_behaviour(name: str, value: object) -> bool:
    """Returns whether a class attribute may change what the methods of the class do.

    Of the names that Python reserves, methods do, __doc__ and the like do not.
    """
    return not name.startswith("__") or isinstance(value, types.FunctionType)
