"""A number is read as people write it; anything else gets a sentence, and never another exception."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.studies import NotANumber, read_number


class Hostile:
    """A value whose methods fail."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __float__(self) -> float:
        raise KeyError


@pytest.mark.parametrize(
    "written",
    [
        10,
        10.0,
        "10",
        " 10 \n",
        "10.0",
        "10,0",
        "10 s",
        "10s",
        "10 Seconds",
        "10 sec.",
        "10000 ms",
        "10,000 ms",
        "10 000 milliseconds",
        "1/6 min",
        "about 10",
        "~10 s",
        "≈ 10",
        "= 10",
        "ten",
        "Ten seconds",
        "about ten s",
        "1e1",
        "+10",
        "１０",
        "20/2",
        [10],
        ("10 s",),
        np.float64(10),
        np.int64(10),
        Decimal(10),
        Fraction(10),
    ],
    ids=repr,
)
def test_ten_seconds_in_many_spellings(written: object) -> None:
    assert read_number(written, "seconds") == pytest.approx(10)


@pytest.mark.parametrize(
    ("written", "unit", "number"),
    [
        ("−1", "", -1),
        ("½", "", 0.5),
        ("1/3", "messages a second", 1 / 3),
        ("0,333", "", 0.333),
        ("1,200", "", 1200),
        ("1'200'000", "", 1_200_000),
        ("50 %", "", 0.5),
        ("50 percent", "", 0.5),
        ("50 percent", "%", 50),
        ("50 %", "%", 50),
        ("2 h", "minutes", 120),
        ("0.08 s", "milliseconds", 80),
        ("1 message", "messages", 1),
        ("7 times", "times", 7),
        ("1/3 messages per second", "messages a second", 1 / 3),
        ("0.33/s", "messages a second", 0.33),
        ("1 message a second", "messages a second", 1),
        ("20 a minute", "messages a second", 1 / 3),
        ("20 messages / min", "messages a second", 1 / 3),
        ("1/3 / s", "messages a second", 1 / 3),
        ("1 every 3 s", "messages a second", 1 / 3),
        ("one message every 3 seconds", "messages a second", 1 / 3),
        ("5 per 2.5 min", "messages a second", 1 / 30),
        ("seven times", "transmissions", 7),
        ("once", "times", 1),
        ("Twice.", "times", 2),
        ("about twice", "times", 2),
        ("thrice", "times", 3),
        ("three times", "times", 3),
        ("twice", "", 2),
        ("none", "messages", 0),
        ("zero", "s", 0),
        ("twelve", "", 12),
    ],
)
def test_numbers_of_other_units(written: str, unit: str, number: float) -> None:
    assert read_number(written, unit) == pytest.approx(number)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("soon", "'soon' isn't a number alone. Write digits only"),
        ("twice", "'twice' ends in 'times', which isn't known here. Write the number of seconds"),
        ("five or six", "'five or six' ends in 'or six'"),
        ("twenty one", "isn't a number alone"),
        ("one hundred", "ends in 'hundred'"),
        ("tens", "isn't a number alone"),
        ("", "'' isn't a number alone"),
        ("answer = 5", "isn't a number alone. Write digits only"),
        ("5 apples", "'5 apples' ends in 'apples', which isn't known here. Write the number of seconds"),
        ("50 %", "'50 %' is a share. Write the number of seconds"),
        ("N/μ = 25", "isn't a number alone"),
        ("5 5", "isn't one number"),
        ("5 to 6", "ends in 'to 6'"),
        ("1/2/3", "isn't one number"),
        ("1/0", "divides by zero"),
        ("\x00", "isn't one number"),
        ("9" * 5000, "isn't a finite number"),
        ("1e400", "isn't a finite number"),
        (nan, "nan isn't a finite number"),
        (-inf, "-inf isn't a finite number"),
        (10**400, "isn't a number"),
        (None, "None is of the type NoneType"),
        (True, "True is of the type bool"),
        (b"5", "b'5' is of the type bytes"),
        (1j, "1j is of the type complex"),
        ([], "[] is a list"),
        ([5, 6], "[5, 6] is a list"),
        ({"a": 1}, "is of the type dict"),
        (np.array([1, 2]), "isn't a number"),
        (Hostile(), "A value of the type Hostile isn't a number"),
        ([[5]], "[5] is a list"),
    ],
    ids=range(31),
)
def test_what_is_no_number_gets_a_sentence(written: object, says: str) -> None:
    with pytest.raises(NotANumber) as raised:
        read_number(written, "seconds")
    text = str(raised.value)
    assert says in text
    assert text.endswith(".")
    assert len(text) < 200


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("3 apples a second", "messages a second"),
        ("3 a fortnight", "messages a second"),
        ("3 a second", "messages a fortnight"),
        ("3 a second", "messages"),
        ("3 seconds", "messages a second"),
        ("3/s", ""),
        ("3 every 0 s", "messages a second"),
        ("3 times", "messages a second"),
        ("3 times", "seconds"),
        ("3 times", "%"),
    ],
)
def test_a_rate_of_something_else_is_refused(written: str, unit: str) -> None:
    with pytest.raises(NotANumber, match="which isn't known here"):
        read_number(written, unit)


def test_without_a_unit_a_unit_is_refused() -> None:
    with pytest.raises(NotANumber, match=r"Write the number alone\."):
        read_number("5 s")


@given(st.text() | st.floats() | st.integers() | st.lists(st.integers()) | st.binary() | st.none())
def test_no_other_exception_is_raised(written: object) -> None:
    try:
        number = read_number(written, "seconds")
    except NotANumber as error:
        number = len(str(error))
    assert 0 <= abs(number) < inf


@given(
    st.floats(-1e9, 1e9).map(lambda number: round(number, 3)), st.sampled_from(["", " s", "s", " seconds"])
)
def test_a_printed_number_is_read_back(number: float, unit: str) -> None:
    assert read_number(f"{number}{unit}", "seconds") == number
    assert read_number(f"{number:,}{unit}", "seconds") == number
