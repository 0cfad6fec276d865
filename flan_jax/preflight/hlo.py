"""Reads which collectives a compiled program runs, and on how many bytes, from its text.

The text is XLA's HLO after all passes. It is read with regular expressions: the classes that would
parse it come with TensorFlow.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

KINDS = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
BETWEEN_SLICES = "between slices"
"""The kind of what a device sends over the network: its part of a collective that spans slices."""

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
    """All collectives of one kind and group size in one run of a program.

    Attributes:
      kind: one of KINDS, or BETWEEN_SLICES.
      group_size: how many devices take part together.
      count: how often it runs.
      payload_bytes: bytes of its whole array on a device, over all times: the result of an
        all-gather, the operand of a reduce-scatter.
    """

    kind: str
    group_size: int
    count: int
    payload_bytes: int

    @property
    def sent_bytes(self) -> float:
        """Bytes that each device sends, in a ring.

        Chan et al. 2007, "Collective communication", section 4.
        """
        if self.kind in ("collective-permute", "collective-broadcast", BETWEEN_SLICES):
            return float(self.payload_bytes)
        rounds = 2 if self.kind == "all-reduce" else 1
        return rounds * self.payload_bytes * (self.group_size - 1) / self.group_size


class Collectives(NamedTuple):
    """The collectives of one run of a program.

    Attributes:
      entries: one for each kind and group size.
      unknown_loops: how many loops with collectives do not say how often they run. They are counted
        once.
    """

    entries: Sequence[Collective]
    unknown_loops: int

    @property
    def ici_bytes(self) -> float:
        """Bytes that a device sends over the links of its slice."""
        within = [entry for entry in self.entries if entry.kind != BETWEEN_SLICES]
        return float(sum(entry.sent_bytes for entry in within))

    @property
    def dcn_bytes(self) -> float:
        """Bytes that a device sends to other slices."""
        between = [entry for entry in self.entries if entry.kind == BETWEEN_SLICES]
        return float(sum(entry.sent_bytes for entry in between))


class _Instance(NamedTuple):
    """One collective instruction."""

    kind: str
    group_size: int
    payload_bytes: int


class _Call(NamedTuple):
    """A call of another computation; `times` is None for a loop of an unknown number of rounds."""

    computation: str
    times: int | None


class _Loop(NamedTuple):
    """A while instruction, in the computation `caller`; `rounds` is None if XLA does not say."""

    caller: str
    body: str
    condition: str
    rounds: int | None


@dataclasses.dataclass
class _Computation:
    """One computation of a program.

    Attributes:
      collectives: its own collectives.
      calls: the computations that it calls.
      constants: the values of its integer constants by name.
      increments: for each sum of an integer and a constant, the constant by the sum's name.
      root_operands: the text after the opcode of the instruction that gives its result.
    """

    collectives: list[_Instance] = dataclasses.field(default_factory=list)
    calls: list[_Call] = dataclasses.field(default_factory=list)
    constants: dict[str, int] = dataclasses.field(default_factory=dict)
    increments: dict[str, int] = dataclasses.field(default_factory=dict)
    root_operands: str = ""

    @property
    def counter_step(self) -> int:
        """The increment of the counter, if this is the body of a loop.

        Collective matmuls on TPUs do two rounds in one.
        """
        for name in re.findall(r"[\w.\-]+", self.root_operands):
            if name in self.increments:
                return self.increments[name]
        return 1


def collectives(text: str, devices: int) -> Collectives:
    """Returns the collectives of one run of a compiled program; those in loops count every round.

    XLA says how many rounds a loop has. On TPUs they are the only constant in its condition,
    divided by the counter's increment.

    Args:
      text: `compiled.as_text()`.
      devices: the number of the program's devices, for collectives among all of them.
    """
    computations, entry = _parse(text, devices)
    counts: dict[tuple[str, int], int] = collections.defaultdict(int)
    payloads: dict[tuple[str, int], int] = collections.defaultdict(int)
    unknown_loops = 0

    def visit(name: str, times: int) -> bool:
        """Counts a computation that runs `times` times; returns whether it has collectives."""
        nonlocal unknown_loops
        computation = computations.get(name, _Computation())
        for kind, group_size, payload_bytes in computation.collectives:
            counts[kind, group_size] += times
            payloads[kind, group_size] += times * payload_bytes

        has_collectives = bool(computation.collectives)
        for called, rounds in computation.calls:
            called_has_some = visit(called, times * (rounds or 1))
            has_collectives = has_collectives or called_has_some
            if called_has_some and rounds is None:
                unknown_loops += 1
        return has_collectives

    visit(entry, 1)
    entries = []
    for kind, group_size in sorted(counts):
        key = (kind, group_size)
        if group_size > 1:
            entries.append(Collective(kind, group_size, counts[key], payloads[key]))
    return Collectives(entries, unknown_loops)


def parse_group_size(attributes: str, devices: int) -> int:
    """Returns how many devices take part in a collective together.

    XLA writes their groups in one of three forms, or as pairs (collective-permute).

    >>> parse_group_size("replica_groups={{0,2},{1,3}}", 8)
    2
    >>> parse_group_size("replica_groups=[2,4]<=[8]", 8)
    4
    >>> parse_group_size("replica_groups=mesh['a'=4,'b'=2] {'a'}", 8)
    4

    Args:
      attributes: the text of the instruction.
      devices: the number of the program's devices, which are the group if none is written.
    """
    if "source_target_pairs=" in attributes:
        return 2
    iota = re.search(r"replica_groups=\[\d+,(\d+)\]", attributes)
    if iota is not None:
        return int(iota.group(1))
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", attributes)
    if listed is not None:
        return len(listed.group(1).split(","))

    mesh = re.search(r"replica_groups=@?mesh\[([^\]]*)\][^{]*\{([^}]*)\}", attributes)
    if mesh is None:
        return devices
    axis_sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh.group(1)))
    group_size = 1
    # Only a part of an axis may take part: 'a':(2)4 is a part of size 4.
    for axis, part in re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", mesh.group(2)):
        group_size *= int(part or axis_sizes[axis])
    return group_size


def _parse(text: str, devices: int) -> tuple[Mapping[str, _Computation], str]:
    """Returns the computations by name, and the name of the first to run."""
    computations: dict[str, _Computation] = {}
    loops: list[_Loop] = []
    entry = ""
    name = ""
    for line in text.splitlines():
        start = _COMPUTATION.match(line)
        if start is not None:
            name = start.group(2)
            computations[name] = _Computation()
            if start.group(1):
                entry = name
            continue
        instruction = _INSTRUCTION.match(line)
        if instruction is not None:
            _add_instruction(instruction, name, computations, loops, devices=devices)

    for loop in loops:
        rounds = loop.rounds
        if rounds is None:
            rounds = _count_rounds(
                computations[loop.condition], computations[loop.body]
            )
        computations[loop.caller].calls.append(_Call(loop.body, rounds))
    return computations, entry


def _add_instruction(
    instruction: re.Match[str],
    name: str,
    computations: Mapping[str, _Computation],
    loops: list[_Loop],
    *,
    devices: int,
) -> None:
    """Adds what an instruction of the computation `name` does to it, or a loop to `loops`."""
    computation = computations[name]
    root, result, shape, opcode, rest = instruction.groups()
    if root:
        computation.root_operands = rest

    is_integer = re.match(r"[su]32\[\]", shape) is not None
    if opcode == "while":
        loops.append(_parse_loop(name, rest))
    elif is_integer and opcode in ("constant", "add"):
        _add_integer(computation, result, opcode, rest)
    elif opcode == "send" and "xla_megascale_runtime" in rest:
        sent_bytes = _array_bytes(shape)[0]
        computation.collectives.append(_Instance(BETWEEN_SLICES, 2, sent_bytes))
    elif opcode.removesuffix("-start") in KINDS:
        group_size = parse_group_size(rest, devices)
        collective = _parse_collective(opcode, name, shape, group_size)
        computation.collectives.append(collective)
    else:
        called = [*_CALLED.findall(rest), *_branch_names(rest)]
        computation.calls += [_Call(other, 1) for other in called]


def _count_rounds(condition: _Computation, body: _Computation) -> int | None:
    """Returns the rounds of a loop, whose counter begins at 0; None if they are not known."""
    limits = list(condition.constants.values())
    if len(limits) != 1:
        return None
    return -(-limits[0] // body.counter_step)


def _add_integer(computation: _Computation, name: str, opcode: str, rest: str) -> None:
    """Notes an integer constant, or the sum of an integer and a constant."""
    if opcode == "constant":
        number = re.match(r"(\d+)\)", rest)
        if number is not None:
            computation.constants[name] = int(number.group(1))
            return
    operands = re.findall(r"%([\w.\-]+)", rest.partition(")")[0])
    if len(operands) == 2 and operands[1] in computation.constants:
        computation.increments[name] = computation.constants[operands[1]] or 1


def _branch_names(rest: str) -> list[str]:
    names = []
    for group in _BRANCHES.findall(rest):
        names += [name.strip().lstrip("%") for name in group.split(",")]
    return names


def _parse_loop(caller: str, rest: str) -> _Loop:
    parts = dict(re.findall(r"\b(body|condition)=%?([\w.\-]+)", rest))
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
    rounds = None if known is None else int(known.group(1))
    return _Loop(caller, parts["body"], parts["condition"], rounds)


def _parse_collective(
    opcode: str, computation: str, shape: str, group_size: int
) -> _Instance:
    """Returns the collective of an instruction in `computation` whose result has `shape`."""
    kind = opcode.removesuffix("-start")
    sizes = _array_bytes(shape)
    payload_bytes = sum(sizes)
    if opcode == "all-gather-start":  # its result is (operand, gathered array)
        payload_bytes = payload_bytes * group_size // (group_size + 1)
    elif opcode == "collective-permute-start":  # its result has semaphores, too
        payload_bytes = max(sizes)
    elif opcode == "reduce-scatter":
        payload_bytes *= group_size
    elif kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"  # on TPUs: a fusion of an all-reduce and a slice
    return _Instance(kind, group_size, payload_bytes)


def _array_bytes(shape: str) -> list[int]:
    """Returns the bytes of each array in a shape, which may be a tuple.

    >>> _array_bytes("(f32[16]{0}, bf16[2,3]{1,0})")
    [64, 12]
    """
    sizes = []
    for dtype, dimensions in _SHAPE.findall(shape):
        elements = math.prod(int(size) for size in dimensions.split(",") if size)
        sizes.append(-(-_bits(dtype) * elements // 8))
    return sizes


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    match = re.fullmatch(r"[a-z]+?(\d+)(e\d.*)?", dtype)
    return 0 if match is None else int(match.group(1))
