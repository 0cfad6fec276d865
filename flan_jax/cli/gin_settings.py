"""From gin files and bindings to settings. The only file that imports gin."""

import ast
import contextlib
import copy
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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gin
import gin.config as gin_config
import gin.config_parser as gin_parser

from flan_jax.batch import Architecture
from flan_jax.data.config import DataConfig
from flan_jax.data.row_format import FLAN, RowFormat, format_of_json
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.errors import InputError, add_to_registry, unknown_name
from flan_jax.evaluation.config import EvalConfig
from flan_jax.json_files import JsonObject
from flan_jax.models.config import ModelConfig, check_model_config
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.sweeps.engines import ENGINES
from flan_jax.sweeps.plan import AblationConfig
from flan_jax.sweeps.queue import QueueEngine
from flan_jax.tasks.prompts import Prompts
from flan_jax.training.checkpoints import CheckpointConfig
from flan_jax.training.optimizers import RATE_FROM_SCRATCH, OptimizerConfig, tuning_rate
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.weights import model_folder
from flan_jax.weights.shipped import SHIPPED

MACROS = {
    "MIXTURE": "'flan2021'",
    "HELD_OUT": "'nli'",
    "SOURCE": "'tfds'",
    "DATA_DIR": "'/data/tfds'",
    "TOKENIZER": "'practice'",
    "MODEL": "@EncoderDecoderConfig()",
    "WARM_START": "'/models/t5'",
    "STEPS": "1000",
    "BATCH_SIZE": "128",
    "LENGTHS": "{'inputs': 1024, 'targets': 256}",
    "ROW_FORMAT": "'flan'",
    "LEARNING_RATE": "1e-3",
    "SEED": "0",
    "MESH": "{'data': -1}",
}
"""The macros that gin/train.gin distributes over the settings, with an example of each value."""
LEFT_TO_WARM_START = ("TOKENIZER", "MODEL", "LEARNING_RATE")
"""Macros that must have a value once WARM_START has given its own."""
GIN_FOLDER = Path(__file__).resolve().parents[2] / "gin"

Configurable = TypeVar("Configurable", bound=Callable[..., Any])
Made = TypeVar("Made")

CONFIGURABLES: dict[str, Callable[..., Any]] = {}
"""The classes and functions that gin files may set and name, by name."""


def register_configurable(configurable: Configurable) -> Configurable:
    """Makes a class or function known to gin files; usable as a decorator.

    A module that a gin file imports may register its own: a subclass of Dense for
    `DecoderConfig.dense = @MyDense`, or a model configuration.

    Args:
      configurable: its keyword arguments become parameters: `MyDense.rank = 8`.

    Returns:
      The same class or function.

    Raises:
      InputError: another configurable has this name.
    """
    add_to_registry(CONFIGURABLES, "configurable", configurable.__name__, configurable)
    return configurable


for _class in (
    Settings,
    DataConfig,
    RowFormat,
    Prompts,
    TrainConfig,
    CheckpointConfig,
    EvalConfig,
    GenerationConfig,
    OptimizerConfig,
    EncoderDecoderConfig,
    DecoderConfig,
    AblationConfig,
):
    register_configurable(_class)


@register_configurable
def from_warm_start(
    warm_start: str | None = None, default: str | None = None, **changes: object
) -> ModelConfig:
    """MODEL = @from_warm_start(): the model, and without a TOKENIZER the tokenizer, of WARM_START.

    `_use_warm_start` puts the model's own configuration in its place before gin makes anything, so
    that a run's config.gin does not depend on the folder.

    Args:
      warm_start: a run directory, a Hugging Face folder, or a shipped model's name.
      default: WARM_START where neither WARM_START nor another MODEL is set.
      **changes: settings of the model that differ from the folder's.
    """
    raise InputError(
        "from_warm_start is for MODEL alone; write MODEL = @from_warm_start()"
    )


def binding(text: str) -> str:
    """Returns the gin binding of a flag's NAME=value.

    A bare word or path becomes a string, since shells take the quotes off.

    >>> binding("HELD_OUT=nli")
    "HELD_OUT = 'nli'"

    Args:
      text: what follows --gin. on the command line.

    Raises:
      InputError: there is no value.
    """
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
    """Returns the settings of a run.

    Args:
      gin_files: files, looked for in the working directory and in gin/; later ones win.
      bindings: gin bindings, which win over the files: "STEPS = 1000".

    Raises:
      InputError: gin cannot read a file or binding, or a setting has no value or a wrong one.
    """
    with _gin_errors_explained():
        _parse(gin_files, bindings)
        written = _written_settings(gin_files, bindings)
        references = _references()
        for macro in MACROS:
            if macro not in LEFT_TO_WARM_START:
                _check_set(macro)
        is_folders = _use_warm_start(bindings, written)
        for macro in LEFT_TO_WARM_START:
            _check_set(macro)
        _check_model_is_named()
        settings = _make(Settings)
        model = _with_arguments(settings.model)
        settings = dataclasses.replace(settings, model=model).with_prefix_of_rows()
        for text in _unread_settings(written, references, settings.model):
            _say(text)
    if is_folders:
        _say_model(settings)
    return settings


def resolve(gin_files: Sequence[str], bindings: Sequence[str]) -> tuple[Settings, str]:
    """Returns (settings, the whole configuration as gin text), see `load_settings`."""
    return load_settings(gin_files, bindings), gin.config_str(max_line_length=120)


def is_sweep(gin_files: Sequence[str], bindings: Sequence[str]) -> bool:
    """Returns whether the gin files say what varies between the runs of a sweep."""
    with _gin_errors_explained():
        _parse(gin_files, bindings)
        return "axes" in gin_config.get_bindings("AblationConfig")


def load_ablation(gin_files: Sequence[str], bindings: Sequence[str]) -> AblationConfig:
    """Returns the AblationConfig of a sweep's gin files.

    Args:
      gin_files: the gin files.
      bindings: further gin bindings, which override those of the files.

    Returns:
      The sweep's axes and settings.

    Raises:
      InputError: AblationConfig.axes is not set, or a setting is refused.
    """
    if not is_sweep(gin_files, bindings):
        raise InputError(
            f"AblationConfig.axes is set in none of {', '.join(gin_files)}: nothing varies between "
            "runs"
        )
    with _gin_errors_explained():
        return _make(AblationConfig)


def load_engine(
    name: str, gin_files: Sequence[str], bindings: Sequence[str]
) -> QueueEngine:
    """Returns a launch engine with its settings.

    Args:
      name: the engine's name; a module that the gin files import may have registered it.
      gin_files: as of `load_settings`.
      bindings: as of `load_settings`.

    Raises:
      InputError: there is no such engine, or a setting that it needs has no value.
    """
    with _gin_errors_explained():
        _parse(gin_files, bindings)
        if name not in ENGINES:
            raise unknown_name("engine", name, ["local", *ENGINES])
        engine = ENGINES[name]
        given = gin_config.get_bindings(engine.__name__)
        missing = [
            f"{engine.__name__}.{field.name}"
            for field in dataclasses.fields(engine)
            if _is_required(field) and field.name not in given
        ]
        if missing:
            raise InputError(
                f"{', '.join(missing)} has no value; write --gin.{missing[0]}=value, or set it in "
                "a gin file"
            )
        return _make(engine)


def _is_required(field: dataclasses.Field) -> bool:
    no_default = field.default is dataclasses.MISSING
    no_factory = field.default_factory is dataclasses.MISSING
    return no_default and no_factory


def load_model(gin_files: Sequence[str]) -> ModelConfig:
    """Returns the MODEL of gin files that need not set anything else.

    Args:
      gin_files: the gin files.

    Returns:
      The configuration of the model.

    Raises:
      InputError: the files set no MODEL.
    """
    with _gin_errors_explained():
        _parse(gin_files, [])
        _use_warm_start([], [])
        _check_set("MODEL")
        gin.parse_config("_model_alone.model = %MODEL")
        model = _make(_model_alone)
        check_model_config(model)
        return _with_arguments(model)


@functools.cache
def _say(text: str) -> None:
    """Prints a line on stderr, once: the runs of a sweep have most in common."""
    print(text, file=sys.stderr, flush=True)


def _say_model(settings: Settings) -> None:
    """Prints what was chosen of the folder of WARM_START."""
    folder = str(settings.training.warm_start)
    text = (
        f"MODEL from {folder}: {type(settings.model).__name__}, computed in "
        f"{settings.model.dtype}; TOKENIZER {settings.data.tokenizer}; ROW_FORMAT "
        f"{_row_format_name(settings)}; LEARNING_RATE {settings.optimizer.learning_rate:g}"
    )
    if settings.model.dtype == "float32" and folder not in SHIPPED:
        stored = model_folder.stored_dtype(folder)
        if stored == "bfloat16":
            text += (
                ". Its weights are bfloat16; to compute in it: "
                "--gin.from_warm_start.dtype=bfloat16"
            )
    _say(text)


def _row_format_name(settings: Settings) -> str:
    row_format, _ = settings.row_format()
    return row_format if isinstance(row_format, str) else "@RowFormat()"


class _Written(NamedTuple):
    """A setting as the user wrote it.

    Attributes:
      scope: "train" in train/Prompts.shots = 5.
      configurable: "Prompts"; "" for a macro.
      name: "shots", or the name of a macro.
      value: its value; references are not resolved.
      place: where it stands, for messages.
    """

    scope: str
    configurable: str
    name: str
    value: object
    place: str

    @property
    def text(self) -> str:
        """The setting's name and place."""
        name = f"{self.configurable}.{self.name}" if self.configurable else self.name
        scope = f"{self.scope}/" if self.scope else ""
        return f"{scope}{name} ({self.place})"


def _written_settings(
    gin_files: Sequence[str], bindings: Sequence[str]
) -> list[_Written]:
    """Returns the settings that the user wrote.

    Those of the project's own gin files are not among them, nor those of a whole configuration that
    gin wrote, a run's config.gin: both have settings for what a run may not have.

    Args:
      gin_files: the gin files, which gin has read without an error.
      bindings: the gin bindings of the command line.
    """
    written = [
        setting for file in gin_files for setting in _written_in_file(_find(file))
    ]
    for text in bindings:
        written += _written_in_text(text, None)
    return written


def _written_in_file(file: str) -> Iterator[_Written]:
    """Yields the settings of a gin file and of the files that it includes."""
    if Path(file).resolve().is_relative_to(GIN_FOLDER):
        return
    content = Path(file).read_text(encoding="utf-8")
    if re.search(r"^# Macros:\n# =+$", content, re.MULTILINE):
        return  # gin.config_str wrote it
    yield from _written_in_text(content, file)


def _written_in_text(content: str, file: str | None) -> Iterator[_Written]:
    """Yields the settings of gin text, and of the files that it includes.

    Args:
      content: the text.
      file: the file that it is from; None for the command line.
    """
    parser = gin_parser.ConfigParser(content, gin_config.ParserDelegate(True))
    for statement in parser:
        if isinstance(statement, gin_parser.IncludeStatement):
            yield from _written_in_file(_included_file(statement.filename))
        elif isinstance(statement, gin_parser.BindingStatement):
            scope, selector, name, value, location = statement
            place = "the command line"
            if file is not None:
                place = f"{file}, line {location.line_num}"
            if name:
                configurable = selector.rpartition(".")[2]
                yield _Written(scope, configurable, name, value, place)
            else:
                yield _Written("", "", selector, value, place)


def _included_file(file: str) -> str:
    """Returns where gin finds a file that another includes."""
    prefixes = [""] if os.path.isabs(file) else gin_config._LOCATION_PREFIXES
    candidates = [os.path.join(prefix, file) for prefix in prefixes]
    # A file of a Python package, which gin reads too, is not looked into.
    return next(filter(os.path.isfile, candidates), str(GIN_FOLDER))


def _references() -> set[str]:
    """Returns the names of the macros, and of the classes, that some setting refers to."""
    names = set()
    for reference in gin_config.iterate_references(gin_config._CONFIG):
        is_macro = reference.selector == "gin.macro"
        name = "/".join(reference.scopes) if is_macro else reference.selector
        names.add(name.rpartition(".")[2])
    return names


_READ_ELSEWHERE = ("AblationConfig", "from_warm_start")
"""Configurables that load_settings does not make: a sweep's, and one with rules of its own."""

_WHERE_IT_IS_NAMED = {
    "GenerationConfig": "EvalConfig.generation = @GenerationConfig()",
    "RowFormat": "ROW_FORMAT = @RowFormat()",
}
"""What makes a configurable that no gin file makes by itself."""


def _unread_settings(
    written: Sequence[_Written], references: Collection[str], model: ModelConfig
) -> Iterator[str]:
    """Yields a line for each setting that was written and not read.

    To be called when gin has made the settings. Configurables of a user's own are left out, as
    other programs may read them, but for model configurations.

    Args:
      written: the settings that the user wrote.
      references: the names that settings refer to.
      model: the model that was made.
    """
    made = {
        (scope, selector.rpartition(".")[2])
        for scope, selector in gin_config._OPERATIVE_CONFIG
    }
    for setting in written:
        name = setting.configurable
        if not name:
            if setting.name not in references and setting.name not in MACROS:
                near = difflib.get_close_matches(setting.name, MACROS, n=1)
                hint = f". Did you mean {near[0]}?" if near else ""
                yield (
                    f"{setting.text} is not read: no setting refers to "
                    f"%{setting.name}{hint}"
                )
            continue

        configurable = CONFIGURABLES.get(name)
        if configurable is None or name in _READ_ELSEWHERE:
            continue
        is_model = inspect.isclass(configurable) and issubclass(
            configurable, ModelConfig
        )
        if not is_model and not configurable.__module__.startswith("flan_jax."):
            continue
        is_layer = name in references and not _is_settings_class(configurable)
        if is_layer or _is_made(setting, made):
            continue
        if is_model:
            reason = f"MODEL is of the class {type(model).__name__}"
        else:
            scope = f"{setting.scope}/" if setting.scope else ""
            reason = f"no setting is @{scope}{name}()"
            if not scope and name in _WHERE_IT_IS_NAMED:
                reason += f". Write {_WHERE_IT_IS_NAMED[name]} too"
        yield f"{setting.text} is not read: {reason}"


def _is_made(setting: _Written, made: Collection[tuple[str, str]]) -> bool:
    """Returns whether a configurable was made in the scope of a setting, or in one inside it."""
    return any(
        name == setting.configurable
        and (not setting.scope or f"{scope}/".startswith(f"{setting.scope}/"))
        for scope, name in made
    )


def _use_warm_start(bindings: Sequence[str], written: Sequence[_Written]) -> bool:
    """Puts what WARM_START's folder says in the place of what the gin files leave to it.

    These are a MODEL @from_warm_start(), and a TOKENIZER, a ROW_FORMAT and a LEARNING_RATE of None.

    Args:
      bindings: the gin bindings of the command line, which win over what the folder says.
      written: the settings that the user wrote; those that are not read are said.

    Returns:
      Whether MODEL is now the folder's.
    """
    values = dict(gin_config.get_bindings("from_warm_start", resolve_references=False))
    warm_start = copy.deepcopy(values.pop("warm_start", None))  # resolves a macro
    default = values.pop("default", None)

    is_from_warm_start = _class_of_reference(_macro("MODEL")) == "from_warm_start"
    if is_from_warm_start:
        if warm_start is None and default is not None:
            warm_start = default
            gin.bind_parameter("WARM_START/gin.macro.value", default)
        if warm_start is None:
            raise InputError(
                "there is neither a MODEL nor a WARM_START whose folder names it; name a model "
                "folder with --gin.WARM_START=..., or a model's gin file, such as "
                "--gin_file=models/t5_1_1_small.gin"
            )
        model = _model_of_folder(warm_start, values, bindings)
        gin.bind_parameter("MODEL/gin.macro.value", model)
    else:
        _say_unread_changes(written)
    if _macro("TOKENIZER", absent="") is None:
        tokenizer = None
        if warm_start is not None:
            tokenizer = _tokenizer_of_folder(warm_start)
        elif _macro("SOURCE") == "sandbox":
            tokenizer = "practice"
        gin.bind_parameter("TOKENIZER/gin.macro.value", tokenizer)
    if warm_start is not None:
        is_left = _macro("ROW_FORMAT", absent="") is None
        if is_left and not model_folder.is_gone(warm_start):
            _use_row_format(model_folder.default_row_format(warm_start), warm_start)
    _use_learning_rate()
    gin_config._CONFIG.pop(("", "flan_jax.from_warm_start"), None)
    return is_from_warm_start and warm_start is not None


def _macro(name: str, absent: object = None) -> object:
    """Returns the value of a macro, without evaluating it; `absent` if no gin file knows it."""
    try:
        return gin.query_parameter(f"{name}/gin.macro.value")
    except ValueError:
        return absent


def _class_of_reference(value: object) -> str | None:
    """Returns the name of the configurable in a reference such as @DecoderConfig(), or None."""
    if not isinstance(value, gin_config.ConfigurableReference):
        return None
    return re.split("[./]", value.scoped_selector)[-1]


def _model_of_folder(
    warm_start: str, changes: dict[str, object], bindings: Sequence[str]
) -> object:
    """Sets the parameters of the configuration that a folder names, and returns gin's reference.

    Args:
      warm_start: the folder.
      changes: parameters of from_warm_start, which change the folder's.
      bindings: gin bindings of the command line, which change the folder's, too.
    """
    model = model_folder.model_of(warm_start)
    if model is None:
        raise InputError(
            f"{warm_start} holds parameters, and no manifest.json that says what model they "
            "are of; name it with --gin_file=models/..."
        )

    cls = type(model).__name__
    _check_class_of_bindings(bindings, cls, warm_start)
    in_files = gin_config.get_bindings(cls, resolve_references=False)
    changes = dict(in_files) | changes
    known = [field.name for field in dataclasses.fields(model)]
    for name in changes:
        if name not in known:
            raise unknown_name("setting of from_warm_start", name, known)

    gin_config._CONFIG.pop(("", f"flan_jax.{cls}"), None)
    _bind_fields(model)
    for name, value in changes.items():
        gin.bind_parameter(f"{cls}.{name}", value)
    changed = set(changes)
    for text in bindings:
        name, _, setting = text.partition(" =")[0].partition(".")
        if name == cls:
            _parse_binding(text)
            changed.add(setting)
    if changed:
        gin.bind_parameter("TrainConfig.model_changes", tuple(sorted(changed)))
    return gin_config.ConfigurableReference(cls, evaluate=True)


def _say_unread_changes(written: Sequence[_Written]) -> None:
    """Prints which settings of from_warm_start are not read, as MODEL is another."""
    model = _class_of_reference(_macro("MODEL")) or "MODEL"
    for setting in written:
        is_change = setting.name not in inspect.signature(from_warm_start).parameters
        if setting.configurable == "from_warm_start" and is_change:
            _say(
                f"{setting.text} is not read: MODEL is not @from_warm_start(). Write "
                f"{model}.{setting.name}"
            )


def _bind_fields(model: ModelConfig) -> None:
    """Sets the parameters of a model's class to those of the model."""
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if value != field.default:
            gin.bind_parameter(f"{type(model).__name__}.{field.name}", value)


def _check_class_of_bindings(
    bindings: Sequence[str], cls: str, warm_start: str
) -> None:
    """Raises InputError for a setting of another model's class than the folder's."""
    for text in bindings:
        name, _, setting = text.partition(" =")[0].partition(".")
        configurable = CONFIGURABLES.get(name)
        if name == cls or not inspect.isclass(configurable):
            continue
        if issubclass(configurable, ModelConfig):
            raise InputError(
                f"{name}.{setting} is not read: the model of {warm_start} is a {cls}. Write "
                f"--gin.{cls}.{setting}=..., or leave it out"
            )


def _tokenizer_of_folder(warm_start: str) -> str:
    tokenizer = model_folder.tokenizer_of(warm_start)
    if tokenizer is None:
        raise InputError(
            f"{warm_start} holds no tokenizer (a tokenizer.json or a SentencePiece *.model); copy "
            "the model's own into it, or name it with --gin.TOKENIZER=..."
        )
    return tokenizer


def _use_learning_rate() -> None:
    """Sets a LEARNING_RATE of None to the usual one of Adafactor."""
    if _macro("LEARNING_RATE", absent="") is not None:
        return
    optimizer = gin_config.get_bindings("OptimizerConfig", resolve_references=False)
    if optimizer.get("name", OptimizerConfig.name) != "adafactor":
        return
    if optimizer.get("schedule", OptimizerConfig.schedule) != "constant":
        return
    # The base of a sweep is a warm start, too, though its folder is not there yet.
    rate: float | None = RATE_FROM_SCRATCH
    if _macro("WARM_START") is not None:
        rate = _tuning_rate()
    gin.bind_parameter("LEARNING_RATE/gin.macro.value", rate)


def _tuning_rate() -> float | None:
    """Returns the rate at which models like MODEL are tuned by Adafactor; None if not known."""
    cls = CONFIGURABLES.get(_class_of_reference(_macro("MODEL")) or "")
    known: dict[type[ModelConfig], Architecture] = {
        EncoderDecoderConfig: "encoder_decoder",
        DecoderConfig: "decoder",
    }
    for base, architecture in known.items():
        if inspect.isclass(cls) and issubclass(cls, base):
            return tuning_rate(architecture, str(_macro("WARM_START")))
    return None


def _use_row_format(row_format: str | JsonObject | None, warm_start: str) -> None:
    """Sets ROW_FORMAT to a name, or to @RowFormat() with texts."""
    if row_format is None:
        return
    value: object = format_of_json(row_format, warm_start)
    if value == FLAN:
        value = "flan"
    elif not isinstance(row_format, str):
        for name, text in row_format.items():
            gin.bind_parameter(f"RowFormat.{name}", text)
        value = gin_config.ConfigurableReference("RowFormat", evaluate=True)
    gin.bind_parameter("ROW_FORMAT/gin.macro.value", value)


class LayerWithArguments(functools.partial):
    """A layer's class and the arguments that the gin files give it; two of them may be equal."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayerWithArguments):
            return False
        return (self.func, self.keywords) == (other.func, other.keywords)

    def __hash__(self) -> int:
        return hash((self.func, repr(self.keywords)))


def _with_arguments(model: ModelConfig) -> ModelConfig:
    """Returns the model with the arguments of its layers' classes beside the classes.

    gin keeps them aside and gives them to a layer when it is made. The identity of a run, which is
    made of the model's fields, would not change with them.
    """
    layers = {}
    values = gin_config.get_bindings(type(model).__name__, resolve_references=False)
    for name, reference in values.items():
        if not isinstance(reference, gin_config.ConfigurableReference):
            continue
        if reference.evaluate:  # a macro, or @MyLayer() with brackets
            continue
        arguments = gin_config.get_bindings(reference.scoped_selector)
        if arguments:
            layers[name] = LayerWithArguments(getattr(model, name), **arguments)
    return dataclasses.replace(model, **layers)


@register_configurable
def _model_alone(model: ModelConfig) -> ModelConfig:
    """What gin is asked for when only the model is wanted."""
    return model


def _check_model_is_named() -> None:
    """Raises InputError if MODEL is a plain value and not a configuration, as in MODEL = 'big'."""
    value = gin.query_parameter("MODEL/gin.macro.value")
    if not isinstance(value, gin_config.ConfigurableReference):
        check_model_config(value)


_known_to_gin: dict[str, Callable[..., Any]] = {}
"""What gin made of the configurables, by name."""


def _make(configurable: Callable[..., Made]) -> Made:
    """Calls a configurable with the parameters that the gin files give."""
    return _known_to_gin[configurable.__name__]()


def _all_configurables() -> dict[str, Callable[..., Any]]:
    engines = {engine.__name__: engine for engine in ENGINES.values()}
    return {**CONFIGURABLES, **engines}


def _tell_gin() -> None:
    """Registers with gin what was registered here since the last call."""
    for name, configurable in _all_configurables().items():
        if name not in _known_to_gin:
            if _is_settings_class(configurable):
                configurable = _type_checked(configurable)
            _known_to_gin[name] = gin.external_configurable(
                configurable, name, module="flan_jax"
            )


def _is_settings_class(configurable: Callable[..., Any]) -> bool:
    """Returns whether the values of a configurable are checked against its annotations.

    Those of a layer's class are not: it takes positional arguments, too. Nor are those of Settings,
    whose model may be of a user's own class.
    """
    if not inspect.isclass(configurable) or configurable is Settings:
        return False
    parameters = inspect.signature(configurable).parameters.values()
    return all(
        parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters
    )


def _parse(gin_files: Sequence[str], bindings: Sequence[str]) -> None:
    """Reads gin files and bindings into gin's global state."""
    # Gin files import users' own modules, which lie in the working directory.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    # Our folder comes first. gin's own function would add it last, and a folder models/ of the
    # user's would then be looked into as a package.
    prefixes: list[str] = gin_config._LOCATION_PREFIXES
    others = [prefix for prefix in prefixes if prefix != str(GIN_FOLDER)]
    prefixes[:] = [str(GIN_FOLDER), *others]
    # gin logs an error for every folder in which it does not find a file.
    logging.getLogger().addFilter(_is_not_gin_search)

    files = [_find(file) for file in gin_files]
    _tell_gin()
    gin.clear_config()
    for file in files:
        # This imports the users' modules, which may register configurables of their own.
        gin.parse_config_file(file, skip_unknown=True)
    _tell_gin()
    gin.clear_config()
    for file in files:
        gin.parse_config_file(file)
    for text in bindings:
        _check_macro(text)
        _parse_binding(text)


def _is_not_gin_search(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Path not found")


@contextlib.contextmanager
def _gin_errors_explained() -> Iterator[None]:
    """Turns gin's errors into InputErrors."""
    try:
        yield
    except InputError as error:
        raise InputError(_without_location(error)) from None
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


def _type_checked(configurable: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the class as a function that checks the types of its arguments.

    It raises InputError for a value of another type than the field's.
    """
    hints = typing.get_type_hints(configurable)

    @functools.wraps(configurable, updated=())
    def make(**values: object) -> object:
        for name, value in values.items():
            if name in hints and not _fits(value, hints[name]):
                raise _wrong_type(configurable.__name__, name, value, hints[name])
        return configurable(**values)

    # gin looks for the names of parameters where __wrapped__ leads.
    wrapper: Any = make
    wrapper.__wrapped__ = configurable.__init__
    wrapper.__signature__ = inspect.signature(configurable)
    return make


def _wrong_type(
    configurable: str, parameter: str, value: object, hint: object
) -> InputError:
    """Returns the error for a value of another type than the field's.

    It names the macro where the value comes from one, as that is what the user has written.

    Args:
      configurable: the name of the class.
      parameter: the name of its field.
      value: the value.
      hint: the field's annotation.
    """
    bindings = gin_config.get_bindings(configurable, resolve_references=False)
    binding = str(bindings.get(parameter))
    macro = binding.removeprefix("%")
    name = macro if binding.startswith("%") else f"{configurable}.{parameter}"
    message = f"{name} is {value!r}; it must be {_type_text(hint)}"
    if name in MACROS:
        message += f". Write it as in {name} = {MACROS[name]}"
    return InputError(message)


def _type_text(hint: object) -> str:
    """Returns a type as an error shows it: 'int', 'Mapping[str, int | str]'."""
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    return re.sub(r"\b[\w.]+\.(?=\w)", "", str(hint))


def _fits(value: object, hint: object) -> bool:
    """Returns whether a value, with all that it holds, is of the type of a field's annotation."""
    if hint is Any:
        return True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, member) for member in typing.get_args(hint))
    kind: Any = typing.get_origin(hint) or hint
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    members = typing.get_args(hint)
    if kind in (tuple, Sequence):
        is_sequence = isinstance(value, (list, tuple))
        return is_sequence and all(_fits(item, members[0]) for item in value)
    if kind is Mapping and isinstance(value, Mapping):
        keys_fit = all(_fits(key, members[0]) for key in value)
        return keys_fit and all(_fits(item, members[1]) for item in value.values())
    return isinstance(value, kind)


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
            f"--gin.{name}={value} is not a value that gin can read ({error.msg}). "
            f"""Write numbers and lists as in Python, and a text as --gin.{name}="'text'\""""
        ) from None


def _check_macro(binding: str) -> None:
    """Raises InputError if a binding sets a macro that no gin file knows."""
    name = binding.partition(" =")[0]
    if "." in name or "/" in name:
        return
    try:
        gin.query_parameter(f"{name}/gin.macro.value")
    except ValueError:
        raise unknown_name("gin macro", name, MACROS) from None


def _check_set(macro: str) -> None:
    """Raises InputError if a macro has no value."""
    try:
        value = gin.query_parameter(f"{macro}/gin.macro.value")
    except ValueError:
        raise InputError(
            f"the gin macro {macro} is set in none of the gin files; write --gin.{macro}=value"
        ) from None
    if macro == "LEARNING_RATE" and value is None:
        raise InputError(
            "the gin macro LEARNING_RATE has no value, and a usual one is known only for tuning "
            "the model of a WARM_START with Adafactor at a constant rate; write "
            "--gin.LEARNING_RATE=value, or set it in a gin file"
        )
    if str(value) == "%gin.REQUIRED" or (macro == "TOKENIZER" and value is None):
        raise InputError(
            f"the gin macro {macro} has no value yet; write --gin.{macro}=value, or set it in a "
            "gin file"
        )


def _without_location(error: Exception) -> str:
    """Returns the message without gin's addition of the class in which the error was raised."""
    return str(error).partition("\n  In call to configurable")[0]


def _explain(error: Exception) -> str:
    """Returns a gin error's message, with the nearest known name for an unknown one."""
    message = _without_location(error)
    configurables = _all_configurables()
    parameters = [
        parameter
        for configurable in configurables.values()
        for parameter in inspect.signature(configurable).parameters
    ]
    for pattern, known in (
        (r"No configurable matching (?:reference )?'@?([\w.]+)", list(configurables)),
        (r"parameter named '(\w+)'", parameters),
    ):
        match = re.search(pattern, message)
        if match is None:
            continue
        nearest = difflib.get_close_matches(match.group(1), known, n=1, cutoff=0.5)
        if nearest:
            return f"{message}\nDid you mean {nearest[0]!r}?"
        if known == list(configurables):
            return (
                f"{message}\nA class of your own is known once the module that gives it to "
                "register_configurable is imported in a gin file: import my_module"
            )
    if isinstance(error, ModuleNotFoundError):
        return f"{message}\nModules are looked for in {os.getcwd()} and in PYTHONPATH"
    return message
