"""The runs of a sweep on this machine: each in a process of its own, `slots` of them side by side."""

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

from flan_jax.errors import DONE, SAVED, InputError
from flan_jax.json_files import read_json, write_json
from flan_jax.sweeps.sweep_dir import BASE, PlannedRun, Status, now, read_status, status_file

ORPHAN_SECONDS = 1.0
ABLATE = Path(__file__).resolve().parents[2] / "launch" / "ablate.py"


def lock(sweep_dir: Path):
    """Holds the sweep for this engine until the process ends, however it ends; keep the file that is returned.

    Raises InputError when another engine has it, naming its machine and process.
    """
    file = (sweep_dir / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise InputError(
            f"{sweep_dir} is being worked on by {file.read().strip() or 'another process'}. Wait for it, look with "
            "--status, or choose another --sweep_dir"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


class LocalEngine:
    """Starts runs and waits for them. `devices`, ids of GPUs, are shared out evenly among the slots."""

    def __init__(self, sweep_dir: Path, slots: int = 1, devices: Sequence[str] = ()):
        if slots < 1:
            raise InputError(f"--slots={slots}: at least one run at a time")
        if devices and len(devices) % slots:
            raise InputError(
                f"{len(devices)} devices cannot be shared out evenly among {slots} slots"
            )
        self.sweep_dir, self.slots = sweep_dir, slots
        self._free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        each = len(devices) // slots
        for slot in range(slots):
            self._free.put(",".join(devices[slot * each : (slot + 1) * each]) or None)
        self._children: set[subprocess.Popen] = set()
        self._stopping = threading.Event()

    def work(self, runs: Sequence[PlannedRun]) -> Iterator[tuple[PlannedRun, int]]:
        """Each run with its process's exit code, as they end. A run that fails does not stop the others.

        When the caller stops (SIGTERM, Ctrl-C), the running ones are asked to save and are waited for.
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
        devices = self._free.get()
        try:
            self._wait_for_orphan(run)
            return SAVED if self._stopping.is_set() else self._child(run, devices)
        finally:
            self._free.put(devices)

    def _wait_for_orphan(self, run: PlannedRun) -> None:
        """An engine that was killed leaves its runs going on; each ends by itself, and then what is left of it is done."""
        while not self._stopping.is_set():
            status = read_status(self.sweep_dir, run)
            if status is None or status.state != "running" or status.host != socket.gethostname():
                return
            time.sleep(ORPHAN_SECONDS)

    def _child(self, run: PlannedRun, devices: str | None) -> int:
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": devices} if devices else {})
        index = BASE if run.index is None else str(run.index)
        command = [
            sys.executable,
            str(ABLATE),
            "run",
            f"--plan={self.sweep_dir}",
            f"--index={index}",
        ]
        with (self.sweep_dir / "logs" / f"{run.id}.log").open("ab") as log:
            # A session of its own: Ctrl-C is for the engine, which then asks its runs to save.
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
        """What a process could not say of its own end: that it was killed, or never came to its work."""
        file = status_file(self.sweep_dir, run)
        found = read_json(file)
        if code in (DONE, SAVED) or (found and found["pid"] == pid and found["state"] != "running"):
            return
        if found:
            status = Status(**found)
        else:
            host, started = socket.gethostname(), now()
            status = Status(
                state="failed",
                evaluation=run.evaluation,
                pid=pid,
                host=host,
                started=started,
                attempts=1,
            )
        error = f"killed by {signal.Signals(-code).name}" if code < 0 else self._last_line(run)
        failed = dataclasses.replace(status, state="failed", ended=now(), error=error)
        write_json(file, dataclasses.asdict(failed))

    def _last_line(self, run: PlannedRun) -> str:
        lines = (
            (self.sweep_dir / "logs" / f"{run.id}.log")
            .read_text(errors="replace")
            .strip()
            .splitlines()
        )
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["it printed nothing"])[-1].removeprefix("error: ")
