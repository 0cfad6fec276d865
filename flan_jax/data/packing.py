"""Best-fit packing of examples into rows of fixed size, in one or two dimensions."""

import numpy as np

CLASSES = 16
"""How finely the free target space of rows is told apart."""


class Packer:
    """Up to `rows` rows of `inputs` x `targets` tokens, filled by best fit: the row with the least room that suffices.

    Rows are kept in stacks by (class of free target space, free input space), and for each class one integer has bit f set
    when some row has f free input tokens, so that the tightest row is found with a shift and the lowest set bit instead of a
    search. An example that is heavier on its inputs goes where the fewest targets still fit, one that is heavier on its
    targets where the most do: so the two kinds meet in the same rows, and neither side fills up alone.
    """

    def __init__(self, inputs: int, targets: int, rows: int):
        self.inputs, self.targets, self.rows = inputs, targets, rows
        self.opened = 0
        self._spread = 0
        self._free_targets: list[int] = []
        self._class = [free * CLASSES // (targets + 1) for free in range(targets + 1)]
        # The lowest class all of whose rows have room for a target of this length; CLASSES: only an unused row surely has.
        self._needed = [
            -(-length * CLASSES // (targets + 1)) for length in range(targets + 1)
        ]
        self._stacks: list[list[list[int]]] = [
            [[] for _ in range(inputs + 1)] for _ in range(CLASSES)
        ]
        self._masks = [0] * CLASSES

    def add(self, inputs: int, targets: int) -> int:
        """The row that takes an example of these lengths, or -1 when none has room."""
        masks = self._masks
        kinds = range(self._needed[targets], CLASSES)
        if targets * self.inputs > inputs * self.targets:
            if self.opened < self._spread:
                return self._open(inputs, targets)
            kinds = reversed(kinds)
        best, chosen = 0, -1
        for kind in kinds:
            room = masks[kind] >> inputs
            if room:
                best, chosen = inputs + (room & -room).bit_length() - 1, kind
                break
        if chosen < 0:
            return self._open(inputs, targets)
        stack = self._stacks[chosen][best]
        row = stack.pop()
        if not stack:
            masks[chosen] ^= 1 << best
        self._put(row, best - inputs, self._free_targets[row] - targets)
        return row

    def _open(self, inputs: int, targets: int) -> int:
        if self.opened == self.rows:
            return -1
        self.opened += 1
        self._free_targets.append(0)
        self._put(self.opened - 1, self.inputs - inputs, self.targets - targets)
        return self.opened - 1

    def _put(self, row: int, free_inputs: int, free_targets: int) -> None:
        self._free_targets[row] = free_targets
        kind = self._class[free_targets]
        self._stacks[kind][free_inputs].append(row)
        self._masks[kind] |= 1 << free_inputs

    def add_all(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The row of each example (-1: none had room), placing the largest first (best-fit decreasing).

        Target-heavy examples get a row each for as long as rows will be needed anyway.
        """
        filled = max(inputs.sum() / self.inputs, targets.sum() / self.targets)
        self._spread = min(self.rows, int(filled))
        size = np.maximum(inputs / self.inputs, targets / self.targets)
        order = np.argsort(-size, kind="stable")
        add = self.add
        placed = [
            add(i, t)
            for i, t in zip(
                inputs[order].tolist(), targets[order].tolist(), strict=True
            )
        ]
        rows = np.empty(len(order), np.int32)
        rows[order] = placed
        return rows
