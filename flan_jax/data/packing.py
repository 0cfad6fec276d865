"""Best-fit packing of examples into rows of fixed size, in one or two dimensions."""

import numpy as np

CLASSES = 16
"""Rows are told apart by so many classes of free target space, from nearly none to all."""


class Packer:
    """Fills rows of `inputs` x `targets` tokens by best fit: in the fullest row that has room.

    Rows are kept in stacks by (class of free target space, free input space). For each class an
    integer has bit f set if some row of the class has f free input tokens. So the fullest row is
    found with a shift and the lowest set bit, instead of a search.

    An example with relatively long inputs goes where the fewest targets still fit, one with
    relatively long targets where the most do. So the two kinds meet in the same rows, and neither
    side fills up alone.

    Attributes:
      inputs: input tokens of a row.
      targets: target tokens of a row.
      rows: the most rows that may be opened.
      opened: the number of rows that hold an example.
    """

    def __init__(self, inputs: int, targets: int, rows: int):
        self.inputs = inputs
        self.targets = targets
        self.rows = rows
        self.opened = 0

        sizes = range(targets + 1)
        # By free target tokens.
        self._class = [free * CLASSES // (targets + 1) for free in sizes]
        # By the length of a target: the lowest class all of whose rows have room for it. CLASSES
        # means that only an unused row is sure to have.
        self._needed_class = [-(-size * CLASSES // (targets + 1)) for size in sizes]

        # Examples with long targets get a row each until so many rows are open.
        self._spread = 0
        # By row.
        self._free_targets: list[int] = []
        # By class and free input tokens: the rows, and which of the stacks are not empty.
        self._stacks: list[list[list[int]]] = []
        for _ in range(CLASSES):
            stacks_of_class: list[list[int]] = [[] for _ in range(inputs + 1)]
            self._stacks.append(stacks_of_class)
        self._masks = [0] * CLASSES

    def add(self, inputs: int, targets: int) -> int:
        """Puts an example into a row.

        Args:
          inputs: its input tokens.
          targets: its target tokens.

        Returns:
          The row, from 0; -1 if no row has room.
        """
        masks = self._masks
        classes = range(self._needed_class[targets], CLASSES)
        has_long_targets = targets * self.inputs > inputs * self.targets
        if has_long_targets:
            if self.opened < self._spread:
                return self._open(inputs, targets)
            classes = reversed(classes)

        for chosen in classes:
            # Bit f: some row has `inputs` + f free input tokens.
            room = masks[chosen] >> inputs
            if room:
                break
        else:
            return self._open(inputs, targets)

        lowest_bit = room & -room
        left_over = lowest_bit.bit_length() - 1
        free_inputs = inputs + left_over
        stack = self._stacks[chosen][free_inputs]
        row = stack.pop()
        if not stack:
            masks[chosen] ^= 1 << free_inputs
        self._put(row, left_over, self._free_targets[row] - targets)
        return row

    def add_all(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Puts examples into rows, the largest first (best-fit decreasing).

        Examples with relatively long targets get a row each for as long as rows will be needed
        anyway.

        Args:
          inputs: int [examples], their input tokens.
          targets: int [examples], their target tokens.

        Returns:
          int32 [examples], the row of each; -1 if no row had room.
        """
        rows_of_inputs = inputs.sum() / self.inputs
        rows_of_targets = targets.sum() / self.targets
        self._spread = min(self.rows, int(max(rows_of_inputs, rows_of_targets)))

        size = np.maximum(inputs / self.inputs, targets / self.targets)
        order = np.argsort(-size, kind="stable")
        sorted_inputs = inputs[order].tolist()
        sorted_targets = targets[order].tolist()
        rows = np.empty(len(order), np.int32)
        rows[order] = list(map(self.add, sorted_inputs, sorted_targets))
        return rows

    def _open(self, inputs: int, targets: int) -> int:
        """Puts an example into an unused row; returns the row, -1 if all are in use."""
        if self.opened == self.rows:
            return -1
        row = self.opened
        self.opened += 1
        self._free_targets.append(0)
        self._put(row, self.inputs - inputs, self.targets - targets)
        return row

    def _put(self, row: int, free_inputs: int, free_targets: int) -> None:
        """Puts a row on the stack of its free tokens."""
        self._free_targets[row] = free_targets
        row_class = self._class[free_targets]
        self._stacks[row_class][free_inputs].append(row)
        self._masks[row_class] |= 1 << free_inputs
