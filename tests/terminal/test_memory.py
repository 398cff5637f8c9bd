import pytest

from chatlab.terminal import memory
from chatlab.terminal.memory import MOST_TYPING, TYPING_LASTS, OwnMessages, Typists


def test_an_own_message_is_recognised_after_its_end() -> None:
    own = OwnMessages()
    message = own.add("a", "hi", 1.0)
    assert "a" in own
    assert own.settle("a") is message
    assert own.settle("a") is None
    assert "a" in own
    own.add("b", "no", 2.0)
    own.take_back("b")
    assert "b" not in own
    assert own.settle("b") is None


def test_those_on_their_way_wait_when_the_connection_goes() -> None:
    own = OwnMessages()
    first, second = own.add("a", "1", 0.0), own.add("b", "2", 0.0)
    own.settle("a")
    own.let_wait()
    assert (first.waits, second.waits) == (False, True)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "REMEMBERED", 3)
    own, typists = OwnMessages(), Typists()
    for n in range(5):
        own.add(f"{n}", "", 0.0)
        typists.typed(f"{n}", 0.0)
    assert [f"{n}" in own for n in range(5)] == [False, False, True, True, True]
    assert typists.names(1.0) == ("2", "3", "4")


def test_somebody_types_until_the_message_comes_or_some_seconds_are_over() -> None:
    typists = Typists()
    typists.typed("ada", 0.0)
    typists.typed("bob", 4.0)
    assert typists.names(5.0) == ("ada", "bob")
    assert typists.names(TYPING_LASTS) == ("bob",)
    typists.stopped("bob")
    typists.stopped("nobody")
    assert typists.names(5.0) == ("ada",)
    for n in range(9):
        typists.typed(f"{n}", 5.0)
    assert len(typists.names(5.0)) == MOST_TYPING
