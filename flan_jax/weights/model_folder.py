"""What the folder of WARM_START says beside its parameters: model, tokenizer and row format."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeGuard

import jax

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json, read_json_object, write_json
from flan_jax.models.config import EXECUTION_SETTINGS, ModelConfig, config_fields
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.run_dir import MANIFEST
from flan_jax.weights import hugging_face
from flan_jax.weights.families import differences
from flan_jax.weights.formats import format_of
from flan_jax.weights.hugging_face import ROW_FORMAT_FILE
from flan_jax.weights.safetensors_folder import CONFIG_FILE
from flan_jax.weights.shipped import SHIPPED, local_folder

CONFIG_CLASSES = {cls.__name__: cls for cls in (EncoderDecoderConfig, DecoderConfig)}


def model_of(warm_start: str | Path) -> ModelConfig | None:
    """Returns the model that a folder names.

    Settings of how it is computed (EXECUTION_SETTINGS) are not taken from a run. A Hugging Face
    model whose weights are stored in bfloat16 is computed in it where there is an accelerator.

    Args:
      warm_start: a run directory, a Hugging Face folder or a T5X checkpoint.

    Returns:
      The model's configuration; None for checkpoints of ours without the run's manifest.json.

    Raises:
      InputError: there is no such folder, it is damaged or a T5X checkpoint, which names no model,
        or its model is not supported.
    """
    kind = format_of(warm_start)
    if kind == "t5x":
        raise InputError(
            f"{warm_start} is a T5X checkpoint, which does not say what model it is of. Name it "
            "with --gin_file=models/..., such as t5_1_1_base.gin (also for FLAN-T5's and T0's "
            "language-model-adapted ones), t5_1_0_base.gin, mt5_base.gin or ul2.gin"
        )
    if kind == "hugging_face":
        return _hugging_face_model(local_folder(warm_start))
    fields = _manifest(warm_start).get("identity", {}).get("model")
    if fields is None:
        return None
    return _config_of_fields(fields, warm_start)


def tokenizer_of(warm_start: str | Path) -> str | None:
    """Returns the tokenizer that a folder holds or names.

    Args:
      warm_start: as in `model_of`.

    Returns:
      The folder itself, which data.tokenizers.load_tokenizer takes, or what a run's manifest.json
      names; None where there is none.
    """
    if format_of(warm_start) == "t5x":
        return None
    if str(warm_start) in SHIPPED:
        return "practice"
    folder = local_folder(warm_start)
    if (folder / "tokenizer.json").is_file() or any(folder.glob("*.model")):
        return str(warm_start)
    return _manifest(warm_start).get("data", {}).get("tokenizer")


def default_row_format(warm_start: str | Path | None) -> str | JsonObject | None:
    """Returns the row format that a folder's model is used to.

    Args:
      warm_start: as in `model_of`; None for random parameters.

    Returns:
      What an exported folder or a run names: a format's name, or its texts by field. For other
      Hugging Face folders "flan" (encoder-decoders), "chat" (with a chat template) or "text". None
      where nothing is known.
    """
    if warm_start is None:
        return None
    kind = format_of(warm_start)
    if kind == "t5x":
        return None
    if kind == "flan_jax":
        return _manifest(warm_start).get("identity", {}).get("row_format")
    folder = local_folder(warm_start)
    exported = read_json(folder / ROW_FORMAT_FILE)
    if exported is not None:
        return exported
    if not isinstance(hugging_face.read_config(folder), DecoderConfig):
        return "flan"
    has_template = (
        (folder / "chat_template.jinja").is_file()
        or (folder / "chat_template.json").is_file()
        or bool(_json_object(folder / "tokenizer_config.json").get("chat_template"))
    )
    return "chat" if has_template else "text"


def is_gone(warm_start: str | Path) -> bool:
    """Returns whether there is nothing where a local warm start should be.

    A run that goes on from its checkpoints does not need it any more.

    Args:
      warm_start: as in `model_of`.
    """
    is_local = "://" not in str(warm_start)
    return is_local and not local_folder(warm_start).exists()


def longest_row(warm_start: str | Path) -> int | None:
    """Returns the tokens of the rows that a run trained on, or None where it is not known.

    Args:
      warm_start: as in `model_of`.
    """
    if format_of(warm_start) != "flan_jax":
        return None
    lengths = _manifest(warm_start).get("mixture", {}).get("lengths", {})
    return sum(lengths.values()) or None


def unexpected_settings(
    warm_start: str | Path,
    config: ModelConfig,
    first_token: int | None,
    changed: Collection[str] = (),
) -> list[str]:
    """Returns what is worth saying about a model that starts from a folder of another opinion.

    Args:
      warm_start: as in `model_of`.
      config: the model of the run.
      first_token: the token that a decoder's rows begin with; None for none.
      changed: settings that were changed by name, see TrainConfig.model_changes.

    Returns:
      A sentence for each finding, which says what to write instead.
    """
    if format_of(warm_start) == "t5x":
        return []
    theirs = model_of(warm_start)
    if theirs is None or type(theirs) is not type(config):
        return []
    found = []
    differing = differences(config, theirs)
    if differing:
        changes = f"{', '.join(sorted(changed))} changed" if changed else "another"
        found.append(
            f"MODEL is not the model of {warm_start} ({changes}), so the same weights give other "
            f"numbers: {'; '.join(differing)}"
        )
    if isinstance(config, DecoderConfig) and isinstance(theirs, DecoderConfig):
        found += _unexpected_of_decoder(warm_start, config, theirs, first_token)
    return found


def _unexpected_of_decoder(
    warm_start: str | Path,
    config: DecoderConfig,
    theirs: DecoderConfig,
    first_token: int | None,
) -> list[str]:
    found = []
    if theirs.start_id not in (None, first_token):
        begin = "no token" if first_token is None else f"token {first_token}"
        found.append(
            f"the texts that {warm_start} was trained on begin with token {theirs.start_id} (BOS), "
            f"and these rows with {begin}, which makes scores far worse. Write "
            f"DecoderConfig.start_id = {theirs.start_id}"
        )
    if config.prefix_lm and not theirs.prefix_lm:
        found.append(
            f"the model of {warm_start} was trained causally, and MODEL has prefix_lm = True: its "
            "prompts are read in both directions, which it has yet to learn. Write "
            "DecoderConfig.prefix_lm = False to read them as it was trained"
        )
    return found


def write_manifest(
    folder: str | Path,
    config: ModelConfig,
    tokenizer: str | None,
    row_format: str | JsonObject | None,
) -> None:
    """Writes the manifest.json by which a folder of converted parameters names its model.

    Args:
      folder: the folder.
      config: its model.
      tokenizer: the path of its tokenizer; None if the folder itself holds it, or none is known.
      row_format: the row format that the model is used to; None if it is not known.
    """
    identity: dict[str, object] = {"model": config_fields(config)}
    if row_format is not None:
        identity["row_format"] = row_format
    content = {"identity": identity, "data": {"tokenizer": tokenizer}}
    write_json(Path(folder).expanduser() / MANIFEST, content)


def _hugging_face_model(folder: Path) -> ModelConfig:
    config = hugging_face.read_config(folder)
    hugging_face.check_sizes(folder, config)
    dtype = "float32"
    if stored_dtype(folder) == "bfloat16" and jax.default_backend() != "cpu":
        dtype = "bfloat16"
    config = dataclasses.replace(config, dtype=dtype)
    if not isinstance(config, DecoderConfig):
        return config
    return dataclasses.replace(config, start_id=_first_token(folder, config))


def stored_dtype(folder: str | Path) -> str | None:
    """Returns the dtype of a Hugging Face folder's weights, as config.json names it, or None.

    Args:
      folder: a folder of any format.
    """
    if format_of(folder) != "hugging_face":
        return None
    config_json = _config_json(local_folder(folder))
    name = config_json.get("dtype") or config_json.get("torch_dtype")
    return name if isinstance(name, str) else None


def _config_json(folder: Path) -> JsonObject:
    """Returns config.json; of a model that takes images, too, what it says of its text model."""
    config_json = read_json_object(folder / CONFIG_FILE)
    text_config = config_json.get("text_config")
    if not isinstance(text_config, dict):
        return config_json
    return {**config_json, **text_config}


def _first_token(folder: Path, config: DecoderConfig) -> int | None:
    """Returns the token that a folder's tokenizer puts before each text; None for none.

    tokenizer_config.json says it (add_bos_token), or else the post-processor of tokenizer.json.
    Where there is only a SentencePiece model, or no tokenizer, it is config.json's BOS.
    """
    tokenizer_config = _json_object(folder / "tokenizer_config.json")
    bos_id = _config_json(folder).get("bos_token_id")
    if isinstance(bos_id, list):
        bos_id = bos_id[0] if bos_id else None
    if bos_id is not None and not _is_token(bos_id, config.vocab_size):
        raise InputError(
            f"{folder / CONFIG_FILE}: bos_token_id is {bos_id!r}; it must be an id below "
            f"vocab_size = {config.vocab_size}"
        )

    if tokenizer_config.get("add_bos_token") is False:
        return None
    if tokenizer_config.get("add_bos_token") is True:
        return bos_id
    if not (folder / "tokenizer.json").is_file():
        return bos_id
    try:
        first = _first_of_template(_json_object(folder / "tokenizer.json"))
    except (AttributeError, IndexError, KeyError, TypeError):
        raise InputError(
            f"{folder / 'tokenizer.json'} has a post_processor that cannot be read; copy it again"
        ) from None
    return first if _is_token(first, config.vocab_size) else None


def _is_token(value: object, vocab_size: int) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < vocab_size


def _first_of_template(tokenizer: JsonObject) -> object:
    """Returns the id that a tokenizer.json's post-processor puts before a text, or None."""
    processor = tokenizer.get("post_processor") or {}
    for part in (processor, *processor.get("processors", ())):
        if part.get("type") != "TemplateProcessing" or not part.get("single"):
            continue
        special = part["single"][0].get("SpecialToken")
        if special is not None:
            return part["special_tokens"][special["id"]]["ids"][0]
    return None


def _json_object(file: Path) -> JsonObject:
    """Returns the object in a file; {} if there is no such file."""
    return read_json_object(file) if file.is_file() else {}


def _manifest(warm_start: str | Path) -> JsonObject:
    """Returns the manifest.json of the run that a folder is, or whose checkpoints/ it is."""
    folder = local_folder(warm_start)
    if folder.name == "checkpoints":
        folder = folder.parent
    manifest = read_json(folder / MANIFEST)
    return manifest if isinstance(manifest, Mapping) else {}


def _config_of_fields(fields: JsonObject, warm_start: str | Path) -> ModelConfig:
    """Returns the configuration that models.config.config_fields gave."""
    name = fields.get("name")
    cls = CONFIG_CLASSES.get(str(name))
    advice = f"Name MODEL in a gin file; {warm_start}/config.gin has its settings"
    if cls is None:
        raise InputError(
            f"the model of {warm_start} is a {name}, a class of its user's. {advice}"
        )

    known = {field.name: field for field in dataclasses.fields(cls)}
    settings = {}
    for key, value in fields.items():
        if key == "name" or key in EXECUTION_SETTINGS:
            continue
        if key not in known or callable(known[key].default):
            raise InputError(
                f"the model of {warm_start} has {key} = {value}, which only its own gin files can "
                f"make. {advice}"
            )
        settings[key] = tuple(value) if isinstance(value, list) else value
    return cls(**settings)
