"""Writes gin/README.md: every macro and every setting, from the classes themselves.

python -m flan_jax.cli.settings_reference
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator

from flan_jax.cli.gin_settings import CONFIGURABLES, GIN_FOLDER, MACROS
from flan_jax.json_files import write_text
from flan_jax.sweeps.engines import ENGINES

INTRODUCTION = """\
# Settings

This page is made from the classes by `python -m flan_jax.cli.settings_reference`.

A run's settings are gin files, read one after the other, and flags, which win over them:

    python launch/train.py --gin_file=flan_mixture.gin \
--gin_file=models/t5_1_1_small.gin --gin.STEPS=5000

- `--gin_file=` is looked for in the working directory and in this folder; it may be repeated.
- `--gin.NAME=value` sets a macro or a parameter: `--gin.SEED=3`, `--gin.TrainConfig.log_every=50`.
  A bare word is a string; write numbers, lists and dicts as in Python.
- `Prompts` is for training and evaluation; `train/Prompts.shots=5` and `eval/Prompts.shots=5` are
  for one of the two.
- A class of a module of yours that a gin file imports becomes known with
  `flan_jax.cli.gin_settings.register_configurable`.
- `MODEL = @from_warm_start()` takes sizes, BOS, dtype and tied tables from the config.json of a
  Hugging Face folder, or from the manifest.json of a run. `--gin.from_warm_start.remat=full`
  changes a setting of it; one that changes numbers is said on stderr. Without a `WARM_START` it is
  `from_warm_start.default`: in `flan_mixture.gin` the small model that comes with flan_jax.
- `--gin_file=models/...` names a model of random parameters, or of a WARM_START that does not say
  what it is of. It needs a TOKENIZER; for practice rows the default is `practice`.
- With a `WARM_START`, LEARNING_RATE is the usual constant rate at which Adafactor tunes a trained
  model: 1e-3 for encoder-decoders (T5X's finetune.gin, T0), 3e-5 for decoders (FLAN), 2e-3 for the
  small models that come with flan_jax. A much higher one is said on stderr. For random parameters
  it is 1e-2, T5's at the start of pre-training. With another optimizer or schedule it has to be
  set; `launch/README.md` has AdamW's settings.
- A class is written with `@`: `MODEL = @DecoderConfig()` makes one; a layer is named without the
  brackets, `DecoderConfig.dense = @MyDense`. In a shell it needs quotes:
  `"--gin.EvalConfig.generation=@GenerationConfig()" --gin.GenerationConfig.num_beams=4`.

| folder or file | what it holds |
|---|---|
| `flan_mixture.gin` | the first run: a small model, twenty-four tasks, practice rows |
| `real_data.gin` | the same on the real datasets, with the lengths and steps of the FLAN paper |
| `train.gin` | which macro goes to which setting; every other file includes it |
| `base_lm.gin`, `base_lm_decoder.gin`, and `base/`, to be put after either \
| make a small language model of the practice world, as the first run and the practice sweeps \
tune: `launch/practice_base.py` |
| `leave_one_cluster_out.gin`, `number_of_clusters.gin`, `number_of_tasks.gin`, \
`number_of_templates.gin`, `role_of_instructions.gin`, `few_shot.gin`, `model_scale.gin` \
| the ablations of the FLAN paper, for `launch/ablate.py` |
| `transfer_matrix.gin` | each cluster trained on alone: which one helps which |
| `shuffled_labels.gin` | the first of these, and each run again on shuffled labels |
| `models/` | published model sizes |
| `mesh/` | a `MESH` for the usual TPU slices and for a machine of eight GPUs |
| `xla/` | XLA's flags for TPUs and GPUs |
| `engines/` | settings of the launch engines, to copy and fill in |

## Macros
"""

MACRO_TEXTS = {
    "MIXTURE": "a mixture, or one task: `practice` is eighteen tasks, `flan2021` all seventy",
    "HELD_OUT": "the cluster to hold out, or a list of them; related ones leave training with it",
    "SOURCE": "where the public datasets are read from: `sandbox` (generated practice rows), "
    "`tfds` or `jsonl`",
    "DATA_DIR": "the folder of prepared TFDS datasets, or of `<task>/<split>.jsonl`",
    "TOKENIZER": "a SentencePiece `.model`, a `tokenizer.json`, a folder that holds one, or "
    "`practice`; None: the one that `WARM_START`'s folder holds or names, without one `practice` "
    "for practice rows",
    "MODEL": "`@from_warm_start()`: what `WARM_START`'s folder says (the default); or a model "
    "configuration, `@EncoderDecoderConfig()` or `@DecoderConfig()`",
    "WARM_START": "where the first parameters come from: a run directory, a Hugging Face folder, "
    "a T5X checkpoint. The optimizer starts anew, where T5X itself goes on with its moments",
    "STEPS": "optimizer updates",
    "BATCH_SIZE": "packed rows of a batch",
    "LENGTHS": "tokens of a row: `{'inputs': 1024, 'targets': 256}`; targets may be `'fit'`",
    "ROW_FORMAT": "how prompts and answers stand in a row: `flan`, `text`, `chat` or "
    "`@RowFormat()`; by default as WARM_START says",
    "LEARNING_RATE": "the peak learning rate; None: Adafactor's usual one, for random parameters "
    "or for tuning WARM_START's kind of model",
    "SEED": "the seed of initial parameters, dropout and the order of examples",
    "MESH": "devices by axis: `{'data': 2, 'fsdp': 2, 'tensor': 2}`; -1 is the rest",
}


def settings_reference() -> str:
    """Returns the text of gin/README.md."""
    lines = [INTRODUCTION, "| macro | what it is |", "|---|---|"]
    lines += [f"| `{macro}` | {MACRO_TEXTS[macro]} |" for macro in MACROS]
    engines = {engine.__name__: engine for engine in ENGINES.values()}
    for name, configurable in {**CONFIGURABLES, **engines}.items():
        is_public_class = inspect.isclass(configurable) and not name.startswith("_")
        if (
            is_public_class
            and dataclasses.is_dataclass(configurable)
            and name != "Settings"
        ):
            lines += ["", *_section(name, configurable)]
    return "\n".join(lines) + "\n"


def _section(name: str, cls: type) -> Iterator[str]:
    summary, texts = describe_fields(cls)
    yield f"## {name}"
    yield ""
    yield summary
    yield ""
    yield "| setting | default | what it is |"
    yield "|---|---|---|"
    for field in dataclasses.fields(cls):
        yield f"| `{name}.{field.name}` | {_default(field)} | {texts.get(field.name, '')} |"


def describe_fields(cls: type) -> tuple[str, dict[str, str]]:
    """Returns the summary of a class and a text for each of its fields, from its docstring.

    The fields of base classes are described in their docstrings.

    Args:
      cls: a dataclass whose docstring has a section "Attributes:".

    Returns:
      (summary, {field: text}); a "|" in a text is escaped for a Markdown table.
    """
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, attributes = inspect.cleandoc(vars(base).get("__doc__") or "").partition(
            "\nAttributes:\n"
        )
        for match in re.finditer(
            r"^  (\w+): (.*(?:\n    .*)*)", attributes, re.MULTILINE
        ):
            text = " ".join(match.group(2).split())
            texts[match.group(1)] = text.replace("|", "\\|")
    head = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    return " ".join(head.split()), texts


def _default(field: dataclasses.Field) -> str:
    if field.default is not dataclasses.MISSING:
        value = getattr(field.default, "__name__", None) or repr(field.default)
    elif field.default_factory is not dataclasses.MISSING:
        value = repr(field.default_factory())
    else:
        return "required"
    return f"`{value}`"


if __name__ == "__main__":
    write_text(GIN_FOLDER / "README.md", settings_reference())
