"""A cache of finished batches, so that an interrupted evaluation resumes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from flan_jax.json_files import JsonObject, append_jsonl, read_jsonl, write_text
from flan_jax.parallel import multihost

BatchResult: TypeAlias = list[Any]
"""The result of one batch as plain JSON."""


class Journal:
    """Append-only cache of the results of a sequence of computations.

    The file's first line is the identity of the sequence, each further line one result. If the file
    holds another sequence, it is replaced. A half-written last line is ignored. Several processes
    that compute in step all read the file; only the writer appends to it.

    Attributes:
      was_cached: whether the last result was in the file.
    """

    def __init__(self, path: Path, identity: JsonObject, *, is_writer: bool = True):
        """Opens the cache.

        Args:
          path: the file; it need not exist.
          identity: what the results depend on, as plain JSON.
          is_writer: whether this process writes the file.
        """
        header = {"identity": json.loads(json.dumps(identity))}
        lines = list(read_jsonl(path))
        results = lines[1:] if lines and lines[0] == header else []

        multihost.assert_equal_everywhere({f"results in {path}": len(results)})
        multihost.barrier()  # The file is not replaced before all processes have read it.
        if is_writer:
            text = "".join(json.dumps(line) + "\n" for line in (header, *results))
            write_text(path, text)

        self._path = path
        self._is_writer = is_writer
        self._results = iter(results)
        self.was_cached = False

    def get_or_compute(self, compute: Callable[[], BatchResult]) -> BatchResult:
        """Returns the next result: from the file, or else computed and appended to the file.

        Call it once for each computation, always in the same order.

        Args:
          compute: computes the result; it is not called if the file has it.

        Returns:
          The result as plain JSON.
        """
        cached = next(self._results, None)
        self.was_cached = cached is not None
        if cached is not None:
            return cached["result"]

        result = compute()
        if self._is_writer:
            append_jsonl(self._path, {"result": result})
        return result
