"""Fixtures of queues whose clients are scripts."""

import pytest


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """clients(name, output, code=0): a program that prints that; clients.calls(): how any of them were called."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    log.touch()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def client(name, output="", code=0):
        # $n is the number of the call.
        text = f'#!/bin/sh\necho {name} "$@" >> {log}\nn=$(wc -l < {log})\ncat <<EOF\n{output}\nEOF\nexit {code}\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    client.calls = lambda: log.read_text().splitlines()
    return client


@pytest.fixture
def cluster(clients, tmp_path):
    """A Slurm whose queue is empty, and a sweep's directory."""
    clients("sbatch", "10$n")
    clients("squeue")
    return tmp_path / "sweep"
