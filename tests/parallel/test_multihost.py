"""What can be seen of multihost in one process; tests/processes/test_hosts.py starts several."""

import subprocess
import sys

import pytest
from small_runs import ROOT, free_port

from flan_jax.errors import InputError
from flan_jax.parallel import multihost

# JAX's private functions that multihost uses, in a cluster of one process.
USE_PRIVATE_API = """
import sys
import jax
from flan_jax.parallel import multihost

assert not multihost._is_connected()
assert not multihost._detects_cluster()
jax.distributed.initialize(sys.argv[1], 1, 0)
assert multihost._is_connected()
assert multihost._process_count() == 1
assert multihost._process_index() == 0

client = multihost._client()
assert isinstance(client, multihost._Client)
client.key_value_set("folder/set", "text")
assert client.blocking_key_value_get("folder/set", 1000) == "text"
client.key_value_increment("folder/count", 1)
client.key_value_increment("folder/count", 1)
assert sorted(client.key_value_dir_get("folder")) == [("folder/count", "2"), ("folder/set", "text")]
client.wait_at_barrier("barrier", 1000)
try:
    client.key_value_set("folder/set", "another")
except jax.errors.JaxRuntimeError:
    pass
else:
    raise AssertionError("a key can be set twice: the first failure that is announced must stay")
print("all there")
"""


def test_jax_has_the_private_api_that_multihost_uses():
    """Fails when a version of JAX moves or changes it; multihost has no other use of it."""
    done = subprocess.run(
        [sys.executable, "-c", USE_PRIVATE_API, f"localhost:{free_port()}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "all there\n", done.stderr


def test_one_process_alone_agrees_with_itself():
    assert not multihost.is_multi_process()
    assert multihost.is_process_zero()
    assert multihost.broadcast_from_zero({"step": 3}) == {"step": 3}
    multihost.barrier()
    multihost.assert_equal_everywhere({"seed": 0})


def test_facts_that_differ_from_process_zero_are_named(monkeypatch):
    monkeypatch.setattr(
        multihost, "broadcast_from_zero", lambda value: {"seed": 0, "plan": "a"}
    )
    with pytest.raises(
        InputError, match="seed: 0 in process 0, 1 in this one\n"
    ) as error:
        multihost.assert_equal_everywhere({"seed": 1, "plan": "a"})
    assert "plan" not in str(error.value)


def test_a_failure_callback_stays_after_an_error():
    """An error may be how the failure of another process shows first."""
    callbacks = multihost._failure_callbacks
    with multihost.on_remote_failure(print):
        assert callbacks == [print]
    assert callbacks == []
    with pytest.raises(ValueError), multihost.on_remote_failure(print):
        raise ValueError
    assert callbacks == [print]
    callbacks.clear()
