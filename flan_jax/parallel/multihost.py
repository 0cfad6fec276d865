"""Several processes that do one run together, one on each host: they find one another, agree, and end together.

JAX joins them (jax.distributed). By itself it lets the others wait for minutes where one of them fails, and says of a
process that died no more than that. Here each process has a pulse, and a thread that waits for news of an end: whoever
fails says so, whoever falls silent is named by the first process, or the first by the others, and then all end at once, with
the same exit code. Nothing of this asks for the devices, whose search may be what fails.
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
from typing import Any, NoReturn

import jax
from jax._src import (
    clusters,
    distributed,
)  # neither has a public name; orbax takes the key-value store from here, too
from jax.experimental import multihost_utils

from flan_jax.errors import BAD_INPUT, SAVED, InputError

PULSE_SECONDS = 2.0
SILENT_SECONDS = 30.0
"""A process whose pulse stands still for so long is taken for dead."""
JAX_SECONDS = 80
"""The same of JAX, which says nothing of who it was: only where our own word does not come through. It counts from the last
beat, and beats twice in that time, so that it may come after half of it."""
JOIN_SECONDS = 300
"""So long the processes wait for one another at the start."""
DAY = 24 * 3600 * 1000
"""In milliseconds, as all times of the client: longer than anything that is waited for. A death ends the wait."""
END, PULSE = "flan_jax/end", "flan_jax/pulse/"

# What all processes do in the same order has the same number in each.
_numbers, _polls = itertools.count(), itertools.count()
_leaving = threading.Event()
_last_words: list[Callable[[str, int], None]] = []


def initialize(
    address: str | None = None, count: int | None = None, index: int | None = None
) -> None:
    """Makes this process one of several, if it is: by the flags, or found by itself under Slurm, on a TPU pod, on Kubernetes.

    To be called before anything computes. Raises InputError for flags that say half of it.
    """
    given = {"--coordinator_address": address, "--process_count": count, "--process_index": index}
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < 3:
        raise InputError(
            f"{', '.join(missing)} missing: give all three of {', '.join(given)}, or none to have them found"
        )
    if not missing:
        _check(str(address), int(count or 0), int(index or 0))
    elif os.environ.get("SLURM_NTASKS") == "1" or not _is_found():
        _check_found()
        return  # a step of one task is alone, too: two such on a node would ask for the same port
    waiting = threading.Timer(JOIN_SECONDS, _end_waiting, (address, count, index))
    waiting.daemon = True
    waiting.start()
    try:
        # Our own timer comes first: at JAX's time limit the process is aborted.
        jax.distributed.initialize(
            address,
            count,
            index,
            initialization_timeout=JOIN_SECONDS + 60,
            heartbeat_timeout_seconds=JAX_SECONDS,
            shutdown_timeout_seconds=JAX_SECONDS,
        )
    finally:
        waiting.cancel()
    _watch()


def _is_found() -> bool:
    """Whether JAX sees by itself that there are other processes, or that there may be."""
    kinds = clusters.ClusterEnv._cluster_types
    return any(not kind.opt_in_only_method and kind.is_env_present() for kind in kinds)


def _check_found() -> None:
    """Raises InputError in a pod of a Kubernetes job whose others JAX cannot find: each would do the whole run."""
    if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= os.environ.keys():
        raise InputError(
            "this is a pod of an indexed Kubernetes job, and its others were not found: pip install kubernetes, and let the "
            "pods' service account get and list pods; or give --coordinator_address, --process_count and --process_index "
            "(localhost:8476, 1 and 0 for a pod alone)"
        )


def _check(address: str, count: int, index: int) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(
            f"--coordinator_address={address}: write the first process's host and a free port, 10.0.0.1:8476"
        )
    if count < 1 or not 0 <= index < count:
        raise InputError(
            f"--process_index={index} of --process_count={count}: the indices are 0 to {count - 1}"
        )


def _end_waiting(address: str | None, count: int | None, index: int | None) -> None:
    who = f"process {index} of {count}" if index is not None else "this process"
    where = f" at {address}" if address else ""
    _print(
        f"error: {who} waited {JOIN_SECONDS} s for the others{where}. Is each of them started with the same address and count, "
        "does the first one's name resolve here, and is its port open?"
    )
    os._exit(BAD_INPUT)


def is_multi_process() -> bool:
    """Whether there are several processes."""
    return _client() is not None and _count() > 1


def is_process_zero() -> bool:
    """Whether this is the process that writes and prints for all."""
    return not is_multi_process() or _index() == 0


def process_name() -> str:
    """Of this process, for messages: "process 3 on tpu-worker-3"."""
    return f"process {_index()} on {socket.gethostname()}"


def _client() -> Any:
    return distributed.global_state.client


def _count() -> int:
    return distributed.global_state.num_processes


def _index() -> int:
    return distributed.global_state.process_id


def barrier() -> None:
    """Until all processes have come to it."""
    if is_multi_process():
        _client().wait_at_barrier(f"flan_jax/barrier/{next(_numbers)}", DAY)


@contextlib.contextmanager
def process_zero_first() -> Iterator[None]:
    """Inside, the first process goes first: what it leaves on a shared disk the others find there."""
    if not is_process_zero():
        barrier()
    yield
    if is_process_zero():
        barrier()


def assert_equal_everywhere(facts: Mapping[str, Any]) -> None:
    """Raises InputError where this process's facts, plain JSON, are not those of the first, naming what differs."""
    own = json.loads(json.dumps(facts))
    first = broadcast_from_zero(own)
    if differing := [fact for fact in {**first, **own} if first.get(fact) != own.get(fact)]:
        changes = "\n".join(
            f"    {fact}: {first.get(fact)} there, {own.get(fact)} here" for fact in differing
        )
        raise InputError(
            f"{process_name()} would not do the same as the first process:\n{changes}\nGive all the same code, files and settings"
        )


def broadcast_from_zero(value: Any) -> Any:
    """The first process's `value`, plain JSON, in all of them: for what is read from files that change."""
    if not is_multi_process():
        return value
    client, key = _client(), f"flan_jax/word/{next(_numbers)}"
    if is_process_zero():
        client.key_value_set(key, json.dumps(value))
        return value
    return json.loads(client.blocking_key_value_get(key, DAY))


def preemption_reached() -> bool:
    """Whether all are to stop here, as SIGTERM came to one of them. All must ask equally often, at the same places."""
    return multihost_utils.reached_preemption_sync_point(next(_polls))


def shutdown() -> None:
    """At a good end: waits for the others, since the first process must not go before them."""
    if is_multi_process():
        barrier()
        _leaving.set()
        jax.distributed.shutdown()


def announce_failure(error: str, code: int) -> None:
    """Tells the others that this process ends, and why; they end with the same exit code."""
    if is_multi_process():
        _announce(f"{process_name()}: {error}", code)


@contextlib.contextmanager
def on_remote_failure(say: Callable[[str, int], None]) -> Iterator[None]:
    """Inside, say(why, exit code) is called before this process is ended because of another's end.

    After an error, too: that may be how the other's end showed here first.
    """
    _last_words.append(say)
    yield
    _last_words.remove(say)


def wait_for_remote_failure() -> None:
    """After an error that may be another process's: gives the news of it time to come, which ends this process."""
    if is_multi_process():
        time.sleep(SILENT_SECONDS + 5 * PULSE_SECONDS)


def _announce(text: str, code: int) -> None:
    try:
        _client().key_value_set(END, json.dumps({"text": text, "code": code}))
    except jax.errors.JaxRuntimeError:
        pass  # somebody was faster, or nobody is there any more to hear it


def _watch() -> None:
    if not is_multi_process():
        return
    if not is_process_zero():
        # What all would print, the first prints.
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process's life
    threading.Thread(target=_send_heartbeats, name="pulse", daemon=True).start()
    threading.Thread(target=_end_with_others, name="end", daemon=True).start()
    if is_process_zero():
        threading.Thread(target=_listen, name="listen", daemon=True).start()


def _send_heartbeats() -> None:
    """A call to the first process, too: in the others its answers are that one's pulse."""
    client, key, answered = _client(), f"{PULSE}{_index()}", [time.monotonic()]
    if not is_process_zero():
        threading.Thread(
            target=_listen_to_first, args=(answered,), name="first", daemon=True
        ).start()
    while not _leaving.wait(PULSE_SECONDS):
        with contextlib.suppress(
            jax.errors.JaxRuntimeError
        ):  # no answer: what _listen_to_first waits for
            client.key_value_increment(key, 1)
            answered[0] = time.monotonic()


def _listen_to_first(answered: list[float]) -> None:
    """Ends this process when the first has not answered for long: there is nobody then to tell all."""
    while not _leaving.wait(PULSE_SECONDS):
        if time.monotonic() - answered[0] > SILENT_SECONDS:
            _end(_silent(["0"]), SAVED)


def _silent(processes: list[str]) -> str:
    return f"process {', '.join(processes)}: not heard of for {SILENT_SECONDS:.0f} s; it was killed, is frozen or is cut off"


def _listen() -> None:
    """In the first process: names whoever falls silent."""
    client = _client()
    heard = {index: ("", time.monotonic()) for index in range(_count())}
    while not _leaving.wait(PULSE_SECONDS):
        now = time.monotonic()
        for key, count in client.key_value_dir_get(PULSE):
            index = int(key.rpartition("/")[2])
            if heard[index][0] != count:
                heard[index] = (count, now)
        if silent := [
            str(index) for index, (_, since) in heard.items() if now - since > SILENT_SECONDS
        ]:
            # As where a machine was taken away with notice: the checkpoints are there, and nothing says that it was the run's fault.
            _announce(_silent(silent), SAVED)
            return


def _end_with_others() -> None:
    client = _client()
    while not _leaving.is_set():
        try:
            end = json.loads(client.blocking_key_value_get(END, DAY))
        except jax.errors.JaxRuntimeError:
            _leaving.wait(
                PULSE_SECONDS
            )  # a day without news, or an end: a good one, or of the first process
            continue
        _end(end["text"], end["code"])


def _end(text: str, code: int) -> NoReturn:
    goes_on = ". The same command goes on from the last checkpoint" if code == SAVED else ""
    _print(f"error: {process_name()} ends because of {text}{goes_on}")
    for say in _last_words:
        with contextlib.suppress(OSError):  # a full disk, perhaps; what it was is printed
            say(text, code)
    os._exit(code)


def _print(text: str) -> None:
    """On the process's real stderr."""
    print(text, file=sys.__stderr__, flush=True)
