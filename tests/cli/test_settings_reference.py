"""gin/README.md is what the classes say."""

import dataclasses

from flan_jax.cli import settings_reference
from flan_jax.cli.gin_settings import CONFIGURABLES, GIN_FOLDER, MACROS
from flan_jax.sweeps.engines import ENGINES


def test_the_reference_is_up_to_date():
    text = (GIN_FOLDER / "README.md").read_text()
    assert text == settings_reference.settings_reference(), (
        "write it again: python -m flan_jax.cli.settings_reference"
    )


def test_every_macro_and_setting_is_described():
    assert settings_reference.MACRO_TEXTS.keys() == set(MACROS)
    classes = [cls for cls in CONFIGURABLES.values() if dataclasses.is_dataclass(cls)]
    undescribed = [
        f"{cls.__name__}.{field.name}"
        for cls in (*classes, *ENGINES.values())
        for field in dataclasses.fields(cls)
        if not settings_reference.describe_fields(cls)[1].get(field.name)
    ]
    assert undescribed == []


def test_fields_are_read_from_docstrings():
    @dataclasses.dataclass
    class Base:
        """The base.

        Attributes:
          first: a text
            of two lines.
        """

        first: int

    @dataclasses.dataclass
    class Toy(Base):
        """Something
        to set.

        Attributes:
          second: this | that.
        """

        second: str = "this"

    summary, texts = settings_reference.describe_fields(Toy)
    assert summary == "Something to set."
    assert texts == {"first": "a text of two lines.", "second": "this \\| that."}
