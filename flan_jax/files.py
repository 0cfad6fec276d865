"""Reading the small files that come from elsewhere."""

import json
from pathlib import Path
from typing import Any

from flan_jax.errors import InputError


def json_object(file: Path) -> dict[str, Any]:
    """What a JSON file says. Raises InputError unless that is one object."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{file} is no JSON object; copy it again")
    return found
