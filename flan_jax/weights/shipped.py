"""The small models that come with the package: WARM_START knows them by name.

Each is a Hugging Face folder in `shipped/`, with the program, the data and the date of its training
in `training.json`.
"""

from pathlib import Path

SHIPPED = {"practice_t5": "a small language model of the practice world"}
"""What each of them is."""

_FOLDER = Path(__file__).with_name("shipped")


def local_folder(source: str | Path) -> Path:
    """Returns where a model's folder is on this machine.

    Args:
      source: the name of a shipped model, or a path, which may begin with "~".
    """
    if str(source) in SHIPPED:
        return _FOLDER / source
    return Path(source).expanduser()
