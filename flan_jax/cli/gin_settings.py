"""From gin files and bindings to settings. The only file that imports gin."""

import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import logging
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
import gin.config as gin_config

from flan_jax.data.config import DataConfig
from flan_jax.errors import InputError, unknown_name
from flan_jax.evaluation.config import EvalConfig
from flan_jax.models.config import ModelConfig
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.sweeps.plan import AblationConfig
from flan_jax.sweeps.queue import QueueEngine
from flan_jax.sweeps.skypilot import SkyPilotEngine
from flan_jax.sweeps.slurm import SlurmEngine
from flan_jax.sweeps.xpk import XpkEngine
from flan_jax.tasks.prompts import Prompts
from flan_jax.training.checkpoints import CheckpointConfig
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import Settings, TrainConfig

MACROS = (
    "MIXTURE", "HELD_OUT", "SOURCE", "DATA_DIR", "TOKENIZER", "MODEL", "WARM_START", "STEPS", "BATCH_SIZE", "LENGTHS",
    "LEARNING_RATE", "SEED", "MESH",
)  # fmt: skip
CONFIGURABLES = (
    Settings, DataConfig, Prompts, TrainConfig, CheckpointConfig, EvalConfig, OptimizerConfig, EncoderDecoderConfig, DecoderConfig,
    AblationConfig, SlurmEngine, SkyPilotEngine, XpkEngine,
)  # fmt: skip
ENGINES = {engine.name: engine for engine in (SlurmEngine, SkyPilotEngine, XpkEngine)}
GIN_FOLDER = Path(__file__).resolve().parents[2] / "gin"


def binding(text: str) -> str:
    """'NAME=value' for gin. A bare word or path counts as a string, since shells take the quotes off."""
    name, equals, value = text.partition("=")
    if not equals or not value.strip():
        raise InputError(f"--gin.{name} has no value; write --gin.{name}=value")
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        if re.fullmatch(r"[\w./~:+-][\w./~:+*\[\] -]*", value):
            value = repr(value)
    return f"{name} = {value}"


def load_settings(gin_files: Sequence[str], bindings: Sequence[str]) -> Settings:
    """The settings that gin files and bindings give. Raises InputError for what gin cannot make sense of."""
    with _gin_explained():
        _parse(gin_files, bindings)
        for macro in MACROS:
            _check_set(macro)
        settings = _registered["Settings"]()
        _check_model(settings.model)
        return settings


def resolve(gin_files: Sequence[str], bindings: Sequence[str]) -> tuple[Settings, str]:
    """The settings that gin files and bindings give, and all of the configuration as gin's text."""
    return load_settings(gin_files, bindings), gin.config_str(max_line_length=120)


def is_sweep(gin_files: Sequence[str], bindings: Sequence[str]) -> bool:
    """Whether gin files and bindings say what varies between the runs of a sweep."""
    with _gin_explained():
        _parse(gin_files, bindings)
        return "axes" in gin_config.get_bindings("AblationConfig")


def load_ablation(gin_files: Sequence[str], bindings: Sequence[str]) -> AblationConfig:
    """The AblationConfig of gin files. Raises InputError when they have none."""
    if not is_sweep(gin_files, bindings):
        raise InputError(
            f"AblationConfig.axes is set in none of {', '.join(gin_files)}: nothing varies between runs"
        )
    with _gin_explained():
        return _registered["AblationConfig"]()


def load_engine(name: str, gin_files: Sequence[str], bindings: Sequence[str]) -> QueueEngine:
    """The settings of the engine of that name. Raises InputError for an unknown engine, and for what has no value."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ["local", *ENGINES])
    engine = ENGINES[name]
    with _gin_explained():
        _parse(gin_files, bindings)
        given = gin_config.get_bindings(engine.__name__)
        fields, absent = dataclasses.fields(engine), dataclasses.MISSING
        required = [f.name for f in fields if f.default is absent and f.default_factory is absent]
        if missing := [f"{engine.__name__}.{field}" for field in required if field not in given]:
            raise InputError(
                f"{', '.join(missing)} has no value; write --gin.{missing[0]}=value, or give a gin file of your own like "
                f"gin/engines/{name}.gin"
            )
        return _registered[engine.__name__]()


def load_model(gin_files: Sequence[str]) -> ModelConfig:
    """The MODEL of gin files that need not set anything else. Raises InputError when they set none."""
    if not gin_files:
        raise InputError(
            "name the model's gin file with --gin_file=models/..., as FROM does not say what MODEL is"
        )
    with _gin_explained():
        _parse(gin_files, [])
        _check_set("MODEL")
        gin.parse_config("_the_model.model = %MODEL")
        model = _registered["_the_model"]()
        _check_model(model)
        return model


def _the_model(model: Any) -> Any:
    """What gin is asked for when only the model is wanted."""
    return model


def _check_model(model: Any) -> None:
    if not hasattr(model, "architecture"):
        raise InputError(
            f"MODEL is {model!r}; write MODEL = @EncoderDecoderConfig() or @DecoderConfig()"
        )


def _parse(gin_files: Sequence[str], bindings: Sequence[str]) -> None:
    gin.clear_config()
    # A user's own modules, which gin files import, lie where the user is.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for configurable in CONFIGURABLES:
        if configurable.__name__ not in _registered:
            _registered[configurable.__name__] = gin.external_configurable(
                _checked(configurable), module="flan_jax"
            )
    if "_the_model" not in _registered:
        _registered["_the_model"] = gin.external_configurable(_the_model, module="flan_jax")
    # First, where gin's own function would add it last: a folder models/ of the user's is looked into as a package else.
    prefixes: list[str] = gin_config._LOCATION_PREFIXES
    prefixes[:] = [str(GIN_FOLDER), *(prefix for prefix in prefixes if prefix != str(GIN_FOLDER))]
    # gin logs an error for every folder that it looks into in vain before it finds a file.
    logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("Path not found"))
    for file in gin_files:
        gin.parse_config_file(_find(file))
    for text in bindings:
        _check_macro(text)
        _parse_binding(text)


@contextlib.contextmanager
def _gin_explained() -> Iterator[None]:
    """gin's errors as InputErrors."""
    try:
        yield
    except InputError as error:
        raise InputError(_without_place(error)) from None
    except (
        ValueError,
        TypeError,
        SyntaxError,
        RuntimeError,
        OSError,
        ImportError,
        AttributeError,
        NameError,
    ) as error:
        raise InputError(_explain(error)) from error


_registered: dict[str, Any] = {}


def _checked(configurable: type) -> Callable[..., Any]:
    """The configuration class as a function that raises InputError for a value of another type than the field's."""
    hints = typing.get_type_hints(configurable)

    @functools.wraps(configurable, updated=())
    def make(**values: Any) -> Any:
        for name, value in values.items():
            if name in hints and not _fits(value, hints[name]):
                wanted = getattr(
                    hints[name], "__name__", str(hints[name]).replace("collections.abc.", "")
                )
                raise InputError(
                    f"{configurable.__name__}.{name} is {value!r}; it must be {wanted}"
                )
        return configurable(**values)

    # gin looks for the names of parameters where __wrapped__ leads.
    make.__wrapped__ = configurable.__init__  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
    make.__signature__ = inspect.signature(configurable)  # pyright: ignore[reportAttributeAccessIssue]
    return make


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    kind = typing.get_origin(hint) or hint
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, (list, tuple) if kind in (tuple, Sequence) else kind)


def _find(file: str) -> str:
    for candidate in (Path(file), Path("gin") / file, GIN_FOLDER / file):
        if candidate.is_file():
            return str(candidate)
    known = [str(path.relative_to(GIN_FOLDER)) for path in GIN_FOLDER.rglob("*.gin")]
    raise unknown_name("gin file", file, known)


def _parse_binding(binding: str) -> None:
    try:
        gin.parse_config(binding)
    except SyntaxError as error:
        name, _, value = binding.partition(" = ")
        raise InputError(
            f"--gin.{name}={value} is no value that gin can read ({error.msg}). "
            f"""Write numbers and lists as in Python, and a text as --gin.{name}="'text'\""""
        ) from None


def _check_macro(binding: str) -> None:
    name = binding.partition(" =")[0]
    if "." in name or "/" in name:
        return
    try:
        gin.query_parameter(f"{name}/gin.macro.value")
    except ValueError:
        raise unknown_name("gin macro", name, MACROS) from None


def _check_set(macro: str) -> None:
    try:
        value = gin.query_parameter(f"{macro}/gin.macro.value")
    except ValueError:
        raise InputError(
            f"the gin macro {macro} is set in none of the gin files; write --gin.{macro}=value"
        ) from None
    if str(value) == "%gin.REQUIRED":
        raise InputError(
            f"the gin macro {macro} has no value yet; write --gin.{macro}=value, or set it in a gin file"
        )


def _without_place(error: Exception) -> str:
    """gin adds in which class an error was raised; the error itself says which setting to change."""
    return str(error).partition("\n  In call to configurable")[0]


def _explain(error: Exception) -> str:
    """A gin error's message with the nearest name for what it does not know."""
    message = _without_place(error)
    names = [configurable.__name__ for configurable in CONFIGURABLES]
    parameters = [
        p for configurable in CONFIGURABLES for p in inspect.signature(configurable).parameters
    ]
    for pattern, known in (
        (r"No configurable matching (?:reference )?'@?([\w.]+)", names),
        (r"parameter named '(\w+)'", parameters),
    ):
        found = re.search(pattern, message)
        near = difflib.get_close_matches(found.group(1), known, n=1, cutoff=0.5) if found else []
        if near:
            return f"{message}\nDid you mean {near[0]!r}?"
    return message
