"""Multi-host support: initialization, consistency checks, and coordinated shutdown.

jax.distributed connects the processes of a run. By itself it keeps the others waiting for minutes
when one of them fails, and does not say which one died. So each process also sends heartbeats and
has a thread that waits for reports of failures: a process that fails announces it, process 0 names
one whose heartbeats stop, the others notice when process 0 stops, and then all exit at once with
the same exit code. None of this touches the devices, as finding them may be what fails.
"""

import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn, Protocol, TypeVar, runtime_checkable

import jax

# JAX has no public API for its key-value store and its detection of clusters. Only the functions of
# the section "JAX's private API" use these modules.
from jax._src import clusters, distributed
from jax.experimental import multihost_utils

from flan_jax.errors import BAD_INPUT, SAVED, InputError

HEARTBEAT_SECONDS = 2.0
SILENT_SECONDS = 30.0
"""A process without a heartbeat for this long counts as dead."""
JAX_HEARTBEAT_SECONDS = 80
"""JAX's own heartbeat timeout. It is a fallback: JAX does not report which process failed. It must
be over twice SILENT_SECONDS, as JAX may raise the alarm after half of it."""
JOIN_SECONDS = 300
"""How long processes wait for one another at the start."""
FOREVER_MS = 24 * 3600 * 1000
"""A timeout in milliseconds, longer than any wait; the death of a process ends the wait."""
FAILURE_KEY = "flan_jax/failure"
HEARTBEAT_KEYS = "flan_jax/heartbeat/"

Json = TypeVar("Json")

# All processes do the same things in the same order, so that these count alike in each.
_sync_numbers = itertools.count()
_preemption_numbers = itertools.count()
_is_leaving = threading.Event()
_failure_callbacks: list[Callable[[str, int], None]] = []


# --- JAX's private API ----------------------------------------------------------------------------


@runtime_checkable
class _Client(Protocol):
    """The methods used of JAX's distributed runtime client. Times are in milliseconds."""

    def key_value_set(self, key: str, value: str) -> None: ...
    def key_value_increment(self, key: str, increment: int) -> int: ...
    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]: ...
    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str: ...
    def wait_at_barrier(self, barrier_id: str, timeout_in_ms: int) -> None: ...


def _is_connected() -> bool:
    return distributed.global_state.client is not None


def _client() -> _Client:
    client: _Client | None = distributed.global_state.client
    assert client is not None, "multihost.initialize has not connected this process"
    return client


def _process_count() -> int:
    return distributed.global_state.num_processes


def _process_index() -> int:
    return distributed.global_state.process_id


def _detects_cluster() -> bool:
    """Returns whether JAX sees from the environment that there are, or may be, other processes."""
    environments = clusters.ClusterEnv._cluster_types
    return any(
        environment.is_env_present()
        for environment in environments
        if not environment.opt_in_only_method
    )


# --- Initialization -------------------------------------------------------------------------------


def initialize(
    address: str | None = None, count: int | None = None, index: int | None = None
) -> None:
    """Connects the processes of a run, if there are several; to be called before any computation.

    Without arguments the others are found from the cluster environment (Slurm, a TPU pod,
    Kubernetes), if there is one.

    Args:
      address: host and port of process 0.
      count: the number of processes.
      index: the index of this process, from 0.

    Raises:
      InputError: only some of the arguments are given, or they are malformed; or this is a pod of a
        Kubernetes job whose other pods cannot be found.
    """
    flags = {
        "--coordinator_address": address,
        "--process_count": count,
        "--process_index": index,
    }
    missing = [flag for flag, value in flags.items() if value is None]
    if missing and len(missing) < len(flags):
        raise InputError(
            f"{', '.join(missing)} missing: give all three of {', '.join(flags)}, or none to have "
            "them found"
        )
    if address is not None and count is not None and index is not None:
        _check_flags(address, count, index)
    elif _is_single_slurm_task() or not _detects_cluster():
        _check_not_kubernetes()
        return

    # At its own time limit JAX aborts the process; this timer comes first, with a message.
    timer = threading.Timer(JOIN_SECONDS, _exit_unjoined, (address, count, index))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            initialization_timeout=JOIN_SECONDS + 60,
            heartbeat_timeout_seconds=JAX_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=JAX_HEARTBEAT_SECONDS,
        )
    finally:
        timer.cancel()
    if is_multi_process():
        if not is_process_zero():
            _silence_output()
        _start_threads()


def _is_single_slurm_task() -> bool:
    """Returns whether this is a Slurm step of one task.

    JAX would make it a cluster of one process, and two such steps on a node would want the same
    port.
    """
    return os.environ.get("SLURM_NTASKS") == "1"


def _check_not_kubernetes() -> None:
    """Raises InputError in a pod of a Kubernetes job whose others JAX cannot find.

    Each of the pods would otherwise do the whole run.
    """
    if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= os.environ.keys():
        raise InputError(
            "this is a pod of an indexed Kubernetes job, and its other pods were not found: pip "
            "install kubernetes, and let the pods' service account get and list pods; or give "
            "--coordinator_address, --process_count and --process_index (localhost:8476, 1 and 0 "
            "for a single pod)"
        )


def _check_flags(address: str, count: int, index: int) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(
            f"--coordinator_address={address}: write the host of process 0 and a free port, such "
            "as 10.0.0.1:8476"
        )
    if count < 1 or not 0 <= index < count:
        raise InputError(
            f"--process_index={index} of --process_count={count}: the indices are 0 to {count - 1}"
        )


def _exit_unjoined(
    address: str | None, count: int | None, index: int | None
) -> NoReturn:
    process = "this process" if index is None else f"process {index} of {count}"
    at_address = f" at {address}" if address else ""
    _print_error(
        f"{process} waited {JOIN_SECONDS} s for the others{at_address}. Check that each of them is "
        "started with the same address and count, that the host name of process 0 resolves on "
        "this host, and that its port is open"
    )
    os._exit(BAD_INPUT)


# --- Which process this is, and agreement between processes ---------------------------------------


def is_multi_process() -> bool:
    """Returns whether several processes run together."""
    return _is_connected() and _process_count() > 1


def is_process_zero() -> bool:
    """Returns whether this is the process that writes files and prints."""
    return not is_multi_process() or _process_index() == 0


def process_name() -> str:
    """Returns the name of this process for messages: "process 3 on tpu-worker-3"."""
    return f"process {_process_index()} on {socket.gethostname()}"


def barrier() -> None:
    """Waits until all processes have called it."""
    if is_multi_process():
        _client().wait_at_barrier(f"flan_jax/barrier/{next(_sync_numbers)}", FOREVER_MS)


@contextlib.contextmanager
def process_zero_first() -> Iterator[None]:
    """Within the context process 0 goes first; the others find what it left on a shared disk."""
    if not is_process_zero():
        barrier()
    yield
    if is_process_zero():
        barrier()


def broadcast_from_zero(value: Json) -> Json:
    """Broadcasts a JSON value from process 0; for what is read from files that change.

    Args:
      value: the value in process 0; what other processes give is ignored.

    Returns:
      The value of process 0, in all processes.
    """
    if not is_multi_process():
        return value
    key = f"flan_jax/broadcast/{next(_sync_numbers)}"
    if is_process_zero():
        _client().key_value_set(key, json.dumps(value))
        return value
    return json.loads(_client().blocking_key_value_get(key, FOREVER_MS))


def assert_equal_everywhere(facts: Mapping[str, object]) -> None:
    """Checks that a JSON object is the same in all processes.

    Args:
      facts: what must agree, by a name for the message.

    Raises:
      InputError: in a process where it differs from that of process 0.
    """
    local_facts = json.loads(json.dumps(facts))
    zero_facts = broadcast_from_zero(local_facts)
    differing = [
        name
        for name in {**zero_facts, **local_facts}
        if zero_facts.get(name) != local_facts.get(name)
    ]
    if not differing:
        return
    lines = [f"{process_name()} differs from process 0:"]
    for name in differing:
        lines.append(
            f"    {name}: {zero_facts.get(name)} in process 0, {local_facts.get(name)} in this one"
        )
    lines.append("Start all processes with the same code, files and settings")
    raise InputError("\n".join(lines))


def preemption_reached() -> bool:
    """Returns whether all processes are to stop here because one of them was sent SIGTERM.

    All processes must call it equally often, at the same places; they get the same answer.
    """
    return multihost_utils.reached_preemption_sync_point(next(_preemption_numbers))


# --- The end of a run, and failures ---------------------------------------------------------------


def shutdown() -> None:
    """Ends a run that has succeeded: waits for all processes, then disconnects."""
    if is_multi_process():
        # Process 0 must not go before the others.
        barrier()
        _is_leaving.set()
        jax.distributed.shutdown()


def announce_failure(error: str, code: int) -> None:
    """Tells the other processes that this one fails; they exit with the same code.

    Args:
      error: why it fails.
      code: its exit code.
    """
    if is_multi_process():
        _announce(f"{process_name()}: {error}", code)


@contextlib.contextmanager
def on_remote_failure(callback: Callable[[str, int], None]) -> Iterator[None]:
    """Registers a callback that runs before this process exits because another process failed.

    It stays registered when the context is left by an exception, which may be how the failure of
    the other process shows first.

    Args:
      callback: called with the reason and the exit code.
    """
    _failure_callbacks.append(callback)
    yield
    _failure_callbacks.remove(callback)


def wait_for_remote_failure() -> None:
    """Waits long enough for a remote failure to be reported; its handler then ends this process."""
    if is_multi_process():
        time.sleep(SILENT_SECONDS + 5 * HEARTBEAT_SECONDS)


def _announce(text: str, code: int) -> None:
    # Another process may have announced a failure first, or process 0 may be gone.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        _client().key_value_set(FAILURE_KEY, json.dumps({"text": text, "code": code}))


def _silence_output() -> None:
    """Sends stdout and stderr nowhere, for the rest of the process: process 0 prints for all."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _start_threads() -> None:
    targets = [_send_heartbeats, _exit_on_announced_failure]
    if is_process_zero():
        targets.append(_watch_heartbeats)
    for target in targets:
        threading.Thread(target=target, name=target.__name__, daemon=True).start()


def _send_heartbeats() -> None:
    """Sends heartbeats to process 0. In the others, its replies show that process 0 is alive."""
    client = _client()
    key = f"{HEARTBEAT_KEYS}{_process_index()}"
    replies = _LastReply()
    if not is_process_zero():
        threading.Thread(
            target=_watch_process_zero, args=(replies,), daemon=True
        ).start()
    while not _is_leaving.wait(HEARTBEAT_SECONDS):
        # An error is a missing reply, which _watch_process_zero notices.
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            client.key_value_increment(key, 1)
            replies.time = time.monotonic()


class _LastReply:
    """When process 0 last replied, in seconds of time.monotonic."""

    def __init__(self):
        self.time = time.monotonic()


def _watch_process_zero(replies: _LastReply) -> None:
    """Ends this process if process 0 has not replied for long: it can announce nothing then."""
    while not _is_leaving.wait(HEARTBEAT_SECONDS):
        if time.monotonic() - replies.time > SILENT_SECONDS:
            _exit_with_others(_silence_text([0]), SAVED)


def _watch_heartbeats() -> None:
    """In process 0: announces the failure of processes whose heartbeats stop."""
    client = _client()
    counts = dict.fromkeys(range(_process_count()), "")
    last_changes = dict.fromkeys(counts, time.monotonic())
    while not _is_leaving.wait(HEARTBEAT_SECONDS):
        now = time.monotonic()
        for key, count in client.key_value_dir_get(HEARTBEAT_KEYS):
            index = int(key.rpartition("/")[2])
            if counts[index] != count:
                counts[index] = count
                last_changes[index] = now
        silent = [
            index
            for index, changed in last_changes.items()
            if now - changed > SILENT_SECONDS
        ]
        if silent:
            # The same exit code as after a preemption: the checkpoints are saved, and nothing
            # suggests that the run itself is at fault.
            _announce(_silence_text(silent), SAVED)
            return


def _silence_text(processes: list[int]) -> str:
    names = ", ".join(map(str, processes))
    return (
        f"no heartbeat from process {names} for {SILENT_SECONDS:.0f} s (killed, frozen or "
        "disconnected)"
    )


def _exit_on_announced_failure() -> None:
    client = _client()
    while not _is_leaving.is_set():
        try:
            failure = json.loads(client.blocking_key_value_get(FAILURE_KEY, FOREVER_MS))
        except jax.errors.JaxRuntimeError:
            # The timeout, a shutdown, or the end of process 0.
            _is_leaving.wait(HEARTBEAT_SECONDS)
            continue
        _exit_with_others(failure["text"], failure["code"])


def _exit_with_others(text: str, code: int) -> NoReturn:
    remedy = ""
    if code == SAVED:
        remedy = ". The same command continues from the last checkpoint"
    _print_error(
        f"{process_name()} exits because another process failed: {text}{remedy}"
    )
    for callback in _failure_callbacks:
        # A full disk, perhaps, which may be why the run fails; the reason has been printed.
        with contextlib.suppress(OSError):
            callback(text, code)
    os._exit(code)


def _print_error(text: str) -> None:
    """Prints to the real stderr of the process, which `_silence_output` does not redirect."""
    print(f"error: {text}", file=sys.__stderr__, flush=True)
