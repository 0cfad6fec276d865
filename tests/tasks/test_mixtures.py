import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_tasks import KIND, SPELL

from flan_jax.errors import InputError
from flan_jax.tasks import mixtures
from flan_jax.tasks import task as registry
from flan_jax.tasks.mixtures import (
    Mixture,
    mixing_rates,
    mixture_or_task,
    register_mixture,
)


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
    with pytest.raises(InputError, match="two mixtures are named 'zoo'"):
        register_mixture(Mixture("zoo"))
    with pytest.raises(InputError, match="a mixture and a task are named 'toy_kind'"):
        register_mixture(Mixture("toy_kind"))


def test_unknown_names():
    register_mixture(Mixture("zoo", ("toy_spel",)))
    with pytest.raises(InputError, match="Did you mean 'toy_spell'"):
        mixture_or_task("zoo")
    for name, nearest in (("zooo", "zoo"), ("toy_kin", "toy_kind")):
        with pytest.raises(InputError, match=f"Did you mean '{nearest}'"):
            mixture_or_task(name)


def test_a_mixture_without_tasks_says_to_import_them(zoo):
    register_mixture(Mixture("all"))
    zoo.clear()
    with pytest.raises(InputError, match="'all' has no tasks: import the modules"):
        mixture_or_task("all")


@given(
    st.dictionaries(st.text(), st.integers(1, 10**6), min_size=1),
    st.none() | st.integers(1, 10**6),
)
def test_mixing_rates(counts, maximum):
    rates = mixing_rates(counts, maximum=maximum)
    assert rates == {
        name: count if maximum is None else min(count, maximum)
        for name, count in counts.items()
    }


def test_mixing_rate_errors():
    with pytest.raises(InputError, match="no training examples in: b, c. Leave"):
        mixing_rates({"c": 0, "a": 1, "b": 0})
    with pytest.raises(InputError, match="the mixing-rate maximum is 0"):
        mixing_rates({"a": 1}, maximum=0)


def shares(rates):
    total = sum(rates.values())
    return {name: rate / total for name, rate in rates.items()}


def test_temperature_evens_out():
    counts = {"a": 100, "b": 900, "c": 90_000}
    assert mixing_rates(counts, temperature=1.0) == {"a": 100, "b": 900, "c": 3000}
    assert shares(mixing_rates(counts, temperature=2.0)) == pytest.approx(
        {
            "a": 10 / (40 + 3000**0.5),
            "b": 30 / (40 + 3000**0.5),
            "c": 3000**0.5 / (40 + 3000**0.5),
        },
        rel=1e-3,
    )
    assert shares(mixing_rates(counts, temperature=1e9)) == pytest.approx(
        dict.fromkeys(counts, 1 / 3), rel=1e-3
    )


def test_equal_and_explicit_weights():
    counts = {"a": 7, "b": 70_000}
    assert mixing_rates(counts, mixing="equal") == {"a": 1, "b": 1}
    weighted = mixing_rates(counts, mixing={"a": 0.3, "b": 0.1})
    assert shares(weighted) == pytest.approx({"a": 0.75, "b": 0.25})
    assert mixing_rates(counts, mixing={"a": 1e-12, "b": 1})["a"] == 1


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"mixing": "proportionl"}, "Did you mean 'proportional'"),
        ({"mixing": {"a": 1}}, "no weight for b"),
        ({"mixing": {"a": 1, "b": 1, "c": 2}}, "not among the tasks trained on: c"),
        ({"mixing": {"a": 1, "b": 0}}, "positive numbers; these are not: b"),
        ({"mixing": {"a": 1, "b": float("nan")}}, "positive numbers; these are not: b"),
        ({"mixing": {"a": 1, "b": float("inf")}}, "positive numbers; these are not: b"),
        ({"temperature": 0.5}, "temperature is 0.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_mixing_errors(settings, message):
    with pytest.raises(InputError, match=message):
        mixing_rates({"a": 1, "b": 2}, **settings)


def test_a_mixture_names_a_task_once():
    with pytest.raises(InputError, match="names toy_kind twice"):
        Mixture("zoo", ("toy_kind", "toy_spell", "toy_kind"))
