"""SIGTERM in one process; tests/processes/test_hosts.py sends it to one of several."""

import contextlib
import signal

import pytest

from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import Preempted, Preemption, stop_together


@pytest.fixture(autouse=True)
def handler():
    """The handler of SIGTERM before the test, which is put back after it."""
    before = signal.getsignal(signal.SIGTERM)
    yield before
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def send_to_another(monkeypatch):
    """send_to_another(): from here on one of two processes, not this one, has got SIGTERM."""
    reached = []
    monkeypatch.setattr(multihost, "is_multi_process", lambda: True)
    monkeypatch.setattr(multihost, "preemption_reached", lambda: bool(reached))
    return lambda: reached.append(True)


def sigterm():
    signal.raise_signal(signal.SIGTERM)


def test_sigterm_raises_at_once():
    preemption = Preemption()
    assert not preemption.stops()
    with pytest.raises(Preempted):
        sigterm()
    assert preemption.asked
    assert preemption.stops()


def test_sigterm_is_not_taken_for_a_failure_of_the_code():
    Preemption()
    with pytest.raises(Preempted), contextlib.suppress(Exception):
        sigterm()


def test_sigterm_is_held_until_the_caller_asks():
    preemption = Preemption()
    with preemption.held():
        sigterm()
        sigterm()
        assert preemption.stops()
    # What came while it was held is not raised behind the caller's back.
    assert preemption.asked


@pytest.mark.parametrize("error", [None, ValueError])
def test_sigterm_raises_again_after_it_was_held(error):
    preemption = Preemption()
    with contextlib.suppress(ValueError), preemption.held():
        if error is not None:
            raise error
    with pytest.raises(Preempted):
        sigterm()


def test_one_process_alone_has_nothing_to_stop_together():
    preemption = Preemption()
    with preemption.held():
        sigterm()
    stop_together()


def test_jax_listens_for_sigterm_where_there_are_several(send_to_another, handler):
    Preemption()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_all_processes_stop_when_one_was_asked(send_to_another):
    preemption = Preemption()
    assert not preemption.stops()
    stop_together()
    send_to_another()
    assert preemption.stops()
    assert preemption.asked
    with pytest.raises(Preempted):
        stop_together()
