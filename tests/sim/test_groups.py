from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.errors import SettingsError
from chatlab.sim.groups import Group, Membership
from chatlab.sim.people import PeopleConfig

shares = st.lists(st.floats(0, 1), max_size=6).map(
    lambda drawn: [share / max(1.0, sum(drawn)) for share in drawn]
)


def groups(*given: float) -> tuple[Group, ...]:
    return tuple(Group(name=f"group-{number}", share=share) for number, share in enumerate(given))


@given(drawn=shares, count=st.integers(1, 300))
def test_each_group_has_its_share_of_the_people(drawn: list[float], count: int) -> None:
    membership = Membership(groups(*drawn), count)
    members = [membership.group(person) for person in range(count)]
    assert membership.column().tolist() == members
    for number, share in enumerate(drawn):
        assert abs(members.count(number) - share * count) <= 1


@given(count=st.integers(1, 200), number=st.integers(1, 9))
def test_shares_of_1_leave_no_others(count: int, number: int) -> None:
    membership = Membership(groups(*[1 / number] * number), count)
    assert membership.column().max() < number


def test_one_group_has_its_rounded_share() -> None:
    for count, share, members in [
        (10, 0.3, 3),
        (10, 0.25, 3),
        (7, 0.1, 1),
        (1, 0.4, 0),
        (1, 0.5, 1),
        (9, 0.0, 0),
    ]:
        assert (Membership(groups(share), count).column() == 0).sum() == members


@pytest.mark.parametrize("count", [50, 1000, 200_000, 1_000_000])
@pytest.mark.parametrize("rooms", [1, 2, 20, 50])
def test_groups_are_mixed_in_the_sample_and_in_each_room(count: int, rooms: int) -> None:
    column = Membership(groups(0.3, 0.2), count).column()
    assert [(column[:50] == number).sum() for number in range(3)] == pytest.approx([15, 10, 25], abs=1)
    room = column[0::rooms]
    assert (room == 0).mean() == pytest.approx(0.3, abs=1 / len(room) + 0.02)


def test_a_thousand_groups_of_a_million_people() -> None:
    membership = Membership(groups(*[0.001] * 1000), 1_000_000)
    column = membership.column()
    assert sorted({(column == number).sum() for number in (0, 1, 500, 999)}) == [1000]
    assert membership.group(999_999) == column[-1]


def test_the_others_are_the_last_group() -> None:
    membership = Membership(groups(0.5), 4)
    assert membership.names == ["group-0", "others"]
    assert Membership((), 4).names == ["others"]
    assert Membership((), 4).column().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("given_groups", "problem"),
    [
        ([("a", 0.6), ("b", 0.5)], r"^people\.groups: the shares add up to 1\.1; give at most 1$"),
        ([("a", 0.2), ("b", 0.2), ("a", 0.1)], r"^people\.groups\[2\]\.name: there is a group 'a' already$"),
        (
            [("others", 0.1)],
            r"^people\.groups\[0\]\.name: 'others' are the people in no group; choose",
        ),
    ],
)
def test_wrong_groups(given_groups: list[tuple[str, float]], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        PeopleConfig(groups=tuple(Group(name=name, share=share) for name, share in given_groups))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(SettingsError, match=r"^Group\.share: give a number"):
        Group(name="a", share=share)
