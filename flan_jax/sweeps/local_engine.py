"""Runs of a sweep on this machine: each in a process of its own, `slots` of them side by side."""

import concurrent.futures
import dataclasses
import fcntl
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from flan_jax.errors import DONE, SAVED, InputError, plural
from flan_jax.json_files import read_json, write_json
from flan_jax.sweeps.sweep_dir import (
    BASE,
    PlannedRun,
    Status,
    now,
    read_status,
    status_file,
)

ORPHAN_SECONDS = 1.0
"""How often to look whether a run that a killed engine left behind has ended."""
ABLATE = Path(__file__).resolve().parents[2] / "launch" / "ablate.py"


def lock(sweep_dir: Path) -> TextIO:
    """Holds a sweep for this process until it ends, however it ends.

    Returns:
      An open file, to be kept: closing it releases the sweep.

    Raises:
      InputError: another process holds the sweep; the message names it.
    """
    file = (sweep_dir / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise InputError(
            f"{sweep_dir} is being worked on by {holder}. Wait for it, look with --status, or "
            "choose another --sweep_dir"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


class LocalEngine:
    """Starts runs and waits for them.

    Attributes:
      sweep_dir: the sweep's directory.
      slots: how many runs are done side by side.
    """

    def __init__(self, sweep_dir: Path, slots: int = 1, devices: Sequence[str] = ()):
        """Makes an engine.

        Args:
          sweep_dir: the sweep's directory.
          slots: how many runs to do side by side.
          devices: ids of GPUs, which are shared out evenly among the slots.

        Raises:
          InputError: there is no slot, or the devices cannot be shared out evenly.
        """
        if slots < 1:
            raise InputError(f"--slots={slots}: at least one run at a time")
        if len(devices) % slots:
            raise InputError(
                f"{plural(len(devices), 'device')} cannot be shared out evenly among {slots} slots"
            )
        self.sweep_dir = sweep_dir
        self.slots = slots
        self._free_devices: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        devices_per_slot = len(devices) // slots
        for slot in range(slots):
            first = slot * devices_per_slot
            slot_devices = devices[first : first + devices_per_slot]
            self._free_devices.put(",".join(slot_devices) or None)
        self._children: set[subprocess.Popen] = set()
        self._stopping = threading.Event()

    def work(self, runs: Sequence[PlannedRun]) -> Iterator[tuple[PlannedRun, int]]:
        """Starts runs as child processes, and yields each run when its process has ended.

        A run that fails does not stop the others. When the caller stops (SIGTERM, Ctrl-C), the
        running processes get SIGTERM, save, and are waited for.

        Args:
          runs: the runs to start, `slots` at a time.

        Yields:
          (run, exit code) in the order in which the processes end.
        """
        with concurrent.futures.ThreadPoolExecutor(self.slots) as pool:
            futures = {pool.submit(self._run, run): run for run in runs}
            try:
                for future in concurrent.futures.as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                self._stopping.set()
                for child in list(self._children):
                    child.send_signal(signal.SIGTERM)
                raise

    def _run(self, run: PlannedRun) -> int:
        devices = self._free_devices.get()
        try:
            self._wait_for_orphan(run)
            if self._stopping.is_set():
                return SAVED
            return self._child(run, devices)
        finally:
            self._free_devices.put(devices)

    def _wait_for_orphan(self, run: PlannedRun) -> None:
        """Waits for a run that another engine, which was killed, has left running."""
        while not self._stopping.is_set():
            status = read_status(self.sweep_dir, run)
            if (
                status is None
                or status.state != "running"
                or status.host != socket.gethostname()
            ):
                return
            time.sleep(ORPHAN_SECONDS)

    def _child(self, run: PlannedRun, devices: str | None) -> int:
        """Does a run in a process of its own; returns its exit code."""
        environment = dict(os.environ)
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices
        index = BASE if run.index is None else str(run.index)
        command = [
            sys.executable,
            str(ABLATE),
            "run",
            f"--plan={self.sweep_dir}",
            f"--index={index}",
        ]
        with self._log_file(run).open("ab") as log:
            # In a session of its own: Ctrl-C reaches the engine, which asks its runs to save.
            child = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            self._children.add(child)
            if self._stopping.is_set():
                child.terminate()
            code = child.wait()
            self._children.discard(child)
        self._note_failure(run, child.pid, code)
        return code

    def _note_failure(self, run: PlannedRun, pid: int, code: int) -> None:
        """Writes the status of a process that was killed or never came to its run."""
        file = status_file(self.sweep_dir, run)
        content = read_json(file)
        wrote_its_end = (
            content and content["pid"] == pid and content["state"] != "running"
        )
        if code in (DONE, SAVED) or wrote_its_end:
            return
        if content:
            status = Status(**content)
        else:
            status = Status(
                state="failed",
                evaluation=run.evaluation,
                pid=pid,
                host=socket.gethostname(),
                started=now(),
                attempts=1,
            )
        error = (
            f"killed by {signal.Signals(-code).name}"
            if code < 0
            else self._last_error(run)
        )
        failed = dataclasses.replace(status, state="failed", ended=now(), error=error)
        write_json(file, dataclasses.asdict(failed))

    def _last_error(self, run: PlannedRun) -> str:
        """Returns the last error in a run's log, or else its last line."""
        lines = self._log_file(run).read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        candidates = errors or lines or ["it printed nothing"]
        return candidates[-1].removeprefix("error: ")

    def _log_file(self, run: PlannedRun) -> Path:
        return self.sweep_dir / "logs" / f"{run.id}.log"
