"""The fixture of the figures' tests."""

import pytest

from flan_jax.reports import figures


@pytest.fixture
def draw(monkeypatch):
    """draw(function, *arguments): (the block of the report, the matplotlib figure behind it)."""
    new_figure = figures.new_figure
    made = []

    def kept(height):
        made.append(new_figure(height))
        return made[-1]

    def drawn(function, *arguments, **keywords):
        block = function(*arguments, **keywords)
        return block, made[-1]

    monkeypatch.setattr(figures, "new_figure", kept)
    return drawn
