"""A cache of finished batches, so that an interrupted evaluation goes on."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flan_jax.json_files import read_jsonl, write_text
from flan_jax.parallel import multihost


class Journal:
    """The results of a sequence of computations, in a file as they come: a killed process's are read, not computed again.

    Line 1 is the identity of the sequence; a file of another one is begun anew. A half-written last line does not count.
    Of several processes that compute in step all read the file and one `writes` it.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], is_writer: bool = True):
        first, *others = [*read_jsonl(path)] or [{}]
        header = {"identity": json.loads(json.dumps(identity))}
        found = others if first == header else []
        multihost.assert_equal_everywhere({f"results in {path}": len(found)})
        multihost.barrier()  # until all have read it
        if is_writer:
            write_text(path, "".join(json.dumps(line) + "\n" for line in (header, *found)))
        self._path, self._found, self._writes = path, iter(found), is_writer

    def __call__(self, compute: Callable[[], list[Any]]) -> list[Any]:
        """The next result, which is plain JSON: from the file, or else computed and written there."""
        for line in self._found:
            return line["result"]
        result = compute()
        if self._writes:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"result": result}) + "\n")
        return result
