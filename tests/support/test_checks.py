"""The bounds of what comes in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from helpers import assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.support.checks import check_fields, check_number
from modelcraft.support.errors import ConfigError


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.integers()))
def test_check_number_takes_a_number_in_its_bounds_and_nothing_else(value):
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -3 <= value <= 7
    try:
        check_number("x", value, -3, 7)
    except ConfigError as error:
        assert not fits
        assert_one_sentence(error, "x must be a number from -3 to 7")
    else:
        assert fits


@dataclass(frozen=True)
class Sizes:
    """One field of each kind."""

    width: int = 12
    heads: int = field(default=4, metadata={"most": 64, "divides": "width"})
    offset: int = field(default=0, metadata={"least": 0})
    share: float = 0.5
    rate: float = field(default=1.0, metadata={"most": 100})
    patience: int | None = None
    switch: bool = False
    way: str = field(default="slow", metadata={"choices": ("slow", "fast")})
    counts: Mapping[str, int] = field(default_factory=dict)  # of another type: not looked at
    anything: Any = None

    def __post_init__(self) -> None:
        check_fields(self)


def test_fields_within_their_bounds_are_taken():
    Sizes(1_000_000, 64, 1_000_000, 1, 100, 1, True, "fast", {"a": -1}, [None])
    Sizes(width=1, heads=1, share=0, rate=0.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"width": 0}, "width must be a whole number from 1 to 1,000,000, not 0."),
        ({"width": 1.0}, "width must be a whole number from 1 to 1,000,000, not float."),
        ({"width": True}, "width must be a whole number from 1 to 1,000,000, not bool."),
        ({"width": None}, "width must be a whole number from 1 to 1,000,000, not NoneType."),
        ({"heads": 65}, "heads must be a whole number from 1 to 64, not 65."),
        ({"heads": 5}, "width must be divisible by heads, and 12 is not by 5."),
        ({"offset": -1}, "offset must be a whole number from 0 to 1,000,000, not -1."),
        ({"share": 1.5}, "share must be a number from 0 to 1, not 1.5."),
        ({"rate": float("nan")}, "rate must be a number from 0 to 100, not nan."),
        ({"rate": "fast"}, "rate must be a number from 0 to 100, not str."),
        ({"patience": 0}, "patience must be a whole number from 1 to 1,000,000, not 0."),
        ({"switch": 1}, "switch must be true or false, not 1."),
        ({"switch": None}, "switch must be true or false, not None."),
        ({"way": "sideways"}, "way must be one of slow, fast, not 'sideways'."),
        ({"way": None}, "way must be one of slow, fast, not None."),
    ],
    ids=str,
)
def test_a_field_out_of_its_bounds_is_one_sentence(wrong, sentence):
    with pytest.raises(ConfigError) as caught:
        Sizes(**wrong)
    assert_one_sentence(caught.value)
    assert str(caught.value) == sentence
