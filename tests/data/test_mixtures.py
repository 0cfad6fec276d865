import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_tasks import KIND, SPELL

from flan_jax.data import mixtures
from flan_jax.data import tasks as registry
from flan_jax.data.mixtures import Mixture, mixing_rates, mixture_or_task, register_mixture
from flan_jax.errors import InputError


@pytest.fixture(autouse=True)
def zoo(monkeypatch):
    known = {"toy_kind": KIND, "toy_spell": SPELL}
    for module in (registry, mixtures):
        monkeypatch.setattr(module, "TASKS", known)
    monkeypatch.setattr(mixtures, "MIXTURES", {})
    return known


def test_mixture_or_task():
    register_mixture(Mixture("zoo", ("toy_spell",)))
    register_mixture(Mixture("all"))
    assert mixture_or_task("zoo") == [SPELL]
    assert mixture_or_task("toy_kind") == [KIND]
    assert mixture_or_task("all") == [KIND, SPELL]


def test_names_are_unique():
    register_mixture(Mixture("zoo", ("toy_spell",)))
    register_mixture(Mixture("zoo", ("toy_spell",)))
    for taken in (Mixture("zoo"), Mixture("toy_kind")):
        with pytest.raises(InputError, match="choose another name"):
            register_mixture(taken)


def test_unknown_names():
    register_mixture(Mixture("zoo", ("toy_spel",)))
    with pytest.raises(InputError, match="Did you mean 'toy_spell'"):
        mixture_or_task("zoo")
    with pytest.raises(InputError, match="Did you mean 'zoo'"):
        mixture_or_task("zooo")


def test_a_mixture_without_tasks_says_to_import_them(zoo):
    register_mixture(Mixture("all"))
    zoo.clear()
    with pytest.raises(InputError, match="import"):
        mixture_or_task("all")


@given(st.dictionaries(st.text(), st.integers(1, 10**6), min_size=1), st.none() | st.integers(1, 10**6))
def test_mixing_rates(counts, maximum):
    rates = mixing_rates(counts, maximum)
    assert rates == {name: count if maximum is None else min(count, maximum) for name, count in counts.items()}


def test_mixing_rate_errors():
    with pytest.raises(InputError, match="no training examples in: b"):
        mixing_rates({"a": 1, "b": 0})
    with pytest.raises(InputError, match="at least 1"):
        mixing_rates({"a": 1}, 0)
