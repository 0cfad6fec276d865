"""Reads a compiled program's text (XLA's HLO after all passes): which collectives it runs, and on how many bytes."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

KINDS = (
    "all-gather", "all-reduce", "all-to-all", "collective-broadcast", "collective-permute", "ragged-all-to-all", "reduce-scatter",
)  # fmt: skip
BETWEEN_SLICES = "between slices"
"""The kind of what a device sends over the network to other slices: its part of a collective that spans them."""
_BITS = {
    "pred": 8,
    "s4": 4,
    "u4": 4,
    "bf16": 16,
    "f16": 16,
    "f32": 32,
    "f64": 64,
    "c64": 64,
    "c128": 128,
}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_SHAPE = re.compile(r"\b([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,]*)\]")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")


class Collective(NamedTuple):
    """One kind of collective among `group` devices, `count` times a step. payload: bytes of its whole array, all times together.

    The payload of an all-gather is what it gives, of a reduce-scatter what it takes, a device.
    """

    kind: str
    group: int
    count: int
    payload: int

    @property
    def sent(self) -> float:
        """Bytes that each device sends when a ring does it (Chan et al. 2007, "Collective communication", section 4)."""
        if self.kind in ("collective-permute", "collective-broadcast", BETWEEN_SLICES):
            return float(self.payload)
        rounds = 2 if self.kind == "all-reduce" else 1
        return rounds * self.payload * (self.group - 1) / self.group


class Collectives(NamedTuple):
    """By kind and group size. `unknown_loops`: loops with collectives whose number of rounds the text does not say, counted once."""

    found: Sequence[Collective]
    unknown_loops: int

    @property
    def sent(self) -> float:
        """Over the links of a slice, in bytes a device."""
        return float(sum(each.sent for each in self.found if each.kind != BETWEEN_SLICES))

    @property
    def between(self) -> float:
        """Between slices, in bytes a device."""
        return float(sum(each.sent for each in self.found if each.kind == BETWEEN_SLICES))


@dataclasses.dataclass
class _Computation:
    """collectives: (kind, group, payload bytes). calls: (computation, times; None for unknown).

    constants: whole numbers by name. sums: what is added to a whole number, by the sum's name. root: what it gives.
    """

    collectives: list[tuple[str, int, int]] = dataclasses.field(default_factory=list)
    calls: list[tuple[str, int | None]] = dataclasses.field(default_factory=list)
    constants: dict[str, int] = dataclasses.field(default_factory=dict)
    sums: dict[str, int] = dataclasses.field(default_factory=dict)
    root: str = ""

    @property
    def step(self) -> int:
        """Of a loop's body: what its counter grows by. Collective matmuls on TPUs do two rounds in one."""
        return next(
            (self.sums[name] for name in re.findall(r"[\w.\-]+", self.root) if name in self.sums), 1
        )


def collectives(text: str, devices: int) -> Collectives:
    """The collectives that one run of a compiled program does, those in loops times the loops' rounds.

    `text` is `compiled.as_text()` and `devices` the number of the program's, for collectives among all of them. The rounds of
    a loop are what XLA knows of it or, as on TPUs, the one constant in its condition by the counter's step.
    """
    computations, entry = _parse(text, devices)
    totals: dict[tuple[str, int], list[int]] = collections.defaultdict(lambda: [0, 0])
    unknown = 0

    def visit(name: str, times: int) -> bool:
        nonlocal unknown
        here = computations.get(name, _Computation())
        for kind, group, payload in here.collectives:
            total = totals[kind, group]
            total[0] += times
            total[1] += times * payload
        within = [(visit(called, times * (rounds or 1)), rounds) for called, rounds in here.calls]
        unknown += sum(some and rounds is None for some, rounds in within)
        return bool(here.collectives) or any(some for some, _ in within)

    visit(entry, 1)
    found = [
        Collective(kind, group, *total)
        for (kind, group), total in sorted(totals.items())
        if group > 1
    ]
    return Collectives(found, unknown)


def _parse(text: str, devices: int) -> tuple[Mapping[str, _Computation], str]:
    """The computations by name, and the name of the first to run."""
    computations: dict[str, _Computation] = {}
    loops: list[tuple[_Computation, str, str, str]] = []
    entry, name = "", ""
    for line in text.splitlines():
        if start := _COMPUTATION.match(line):
            name = start.group(2)
            entry = name if start.group(1) else entry
            computations[name] = _Computation()
        elif found := _INSTRUCTION.match(line):
            here = computations[name]
            root, result, shape, opcode, rest = found.groups()
            here.root = rest if root else here.root
            called = [*_CALLED.findall(rest), *_branches(rest)]
            if opcode == "while":
                loops.append((here, *_loop(rest)))
            elif re.match(r"[su]32\[\]", shape) and opcode in ("constant", "add"):
                _whole_number(here, result, opcode, rest)
            elif opcode == "send" and "xla_megascale_runtime" in rest:
                here.collectives.append((BETWEEN_SLICES, 2, _bytes(*_SHAPE.findall(shape)[0])))
            elif opcode.removesuffix("-start") in KINDS:
                here.collectives.append(_collective(opcode, name, shape, group_size(rest, devices)))
            else:
                here.calls += [(other, 1) for other in called]
    for here, body, condition, known in loops:
        limits = [*computations[condition].constants.values()]
        counted = -(-limits[0] // computations[body].step) if len(limits) == 1 else None
        here.calls.append((body, int(known) if known else counted))
    return computations, entry


def _whole_number(here: _Computation, name: str, opcode: str, rest: str) -> None:
    operands = re.findall(r"%([\w.\-]+)", rest.partition(")")[0])
    if opcode == "constant" and (number := re.match(r"(\d+)\)", rest)):
        here.constants[name] = int(number.group(1))
    elif len(operands) == 2 and operands[1] in here.constants:
        here.sums[name] = here.constants[operands[1]] or 1


def _branches(rest: str) -> Iterator[str]:
    for group in _BRANCHES.findall(rest):
        yield from (name.strip().lstrip("%") for name in group.split(","))


def _loop(rest: str) -> tuple[str, str, str]:
    """(body, condition, rounds as text or "") of a while instruction."""
    parts = {key: name for key, name in re.findall(r"\b(body|condition)=%?([\w.\-]+)", rest)}
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
    return parts["body"], parts["condition"], known.group(1) if known else ""


def _collective(opcode: str, computation: str, shape: str, group: int) -> tuple[str, int, int]:
    """(kind, group size, payload bytes) of an instruction that gives `shape`."""
    kind, payload = (
        opcode.removesuffix("-start"),
        sum(_bytes(*one) for one in _SHAPE.findall(shape)),
    )
    if opcode == "all-gather-start":  # gives its operand beside its result
        payload = payload * group // (group + 1)
    elif opcode == "collective-permute-start":  # and what it waits on
        payload = max(_bytes(*one) for one in _SHAPE.findall(shape))
    elif opcode == "reduce-scatter":
        payload *= group
    elif kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"  # how TPUs write one: an all-reduce in a fusion that keeps a slice
    return kind, group, payload


def group_size(rest: str, devices: int) -> int:
    """How many devices take part together. XLA writes their groups in one of three forms, or as pairs (a permute).

    >>> [group_size(f"replica_groups={form}", 8) for form in ("{{0,2},{1,3}}", "[2,4]<=[8]", "mesh['a'=4,'b'=2] {'a'}", "{}")]
    [2, 4, 4, 8]
    """
    if "source_target_pairs=" in rest:
        return 2
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(found.group(1))
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(found.group(1).split(","))
    if found := re.search(r"replica_groups=@?mesh\[([^\]]*)\][^{]*\{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found.group(1)))
        # An axis may be named in part: 'a':(2)4 is four of it.
        parts = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", found.group(2))
        return math.prod(int(part or sizes[axis]) for axis, part in parts)
    return devices


def _bytes(dtype: str, dimensions: str) -> int:
    found = re.fullmatch(r"[a-z]+?(\d+)(e\d.*)?", dtype)
    bits = _BITS.get(dtype) or (int(found.group(1)) if found else 0)
    return -(-bits * math.prod(int(size) for size in dimensions.split(",") if size) // 8)
