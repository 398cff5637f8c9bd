import subprocess
import sys
import threading
from contextvars import ContextVar, copy_context
from pathlib import Path
from time import monotonic

import pytest

from chatlab.widgets import pacing
from chatlab.widgets.pacing import Callbacks, Pacer

ROOT = Path(__file__).parents[2]
CELL: ContextVar[str] = ContextVar("CELL")


class Bell:
    """A flush counter; `wants` are the delays that successive flushes return."""

    def __init__(self, *wants: float | None) -> None:
        self.next_flush_at = 0.0
        self.context = copy_context()
        self.cells: list[str] = []
        self.not_before = 0.0
        self.wants = list(wants)
        self.rung = threading.Semaphore(0)
        self.threads: set[str] = set()
        self.early = False
        self.started_at = monotonic()

    def flush(self) -> float | None:
        self.early = self.early or monotonic() < self.not_before
        self.not_before = self.next_flush_at
        self.cells.append(CELL.get("none"))
        self.threads.add(threading.current_thread().name)
        self.rung.release()
        return self.wants.pop(0) if self.wants else None


class Broken(Bell):
    def flush(self) -> float | None:
        super().flush()
        raise OSError("the comm is closed")


def rung(bell: Bell) -> bool:
    return bell.rung.acquire(timeout=30)


def wait_until_idle(pacer: Pacer) -> None:
    while thread := pacer._thread:
        thread.join(30)


def test_the_thread_is_a_daemon_that_ends_when_nothing_is_due_and_starts_again() -> None:
    pacer, bell = Pacer(), Bell()
    assert pacer.idle
    for _ in range(2):
        pacer.wake(bell)
        assert rung(bell)
        wait_until_idle(pacer)
        assert pacer.idle
    assert bell.threads == {"chatlab-widgets"}


def test_a_widget_is_flushed_again_when_it_wants() -> None:
    pacer, bell = Pacer(), Bell(0.01, 0.01, None)
    pacer.wake(bell)
    assert all(rung(bell) for _ in range(3))
    wait_until_idle(pacer)
    assert not bell.rung.acquire(blocking=False)


def test_a_widget_is_flushed_for_the_cell_that_made_it_whoever_wakes_the_thread() -> None:
    pacer = Pacer()
    bells = []
    for cell in ("first", "second"):
        CELL.set(cell)
        bells.append(Bell(0.0, None))
    for bell in bells:
        waker = threading.Thread(target=pacer.wake, args=[bell])
        waker.start()
        waker.join()
    assert all(rung(bell) for bell in bells * 2)
    wait_until_idle(pacer)
    assert [bell.cells for bell in bells] == [["first"] * 2, ["second"] * 2]


def test_many_wakes_are_one_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "INTERVAL", 0.2)
    pacer, bell = Pacer(), Bell()
    pacer.wake(bell)
    assert rung(bell)
    for _ in range(1_000):
        pacer.wake(bell)
    wait_until_idle(pacer)
    assert rung(bell)
    assert not bell.rung.acquire(blocking=False)


def test_a_widget_is_never_flushed_faster_than_its_pace() -> None:
    pacer, bell = Pacer(), Bell(0.0, 0.0, 0.0, None)
    pacer.wake(bell)
    assert all(rung(bell) for _ in range(4))
    wait_until_idle(pacer)
    assert not bell.early
    assert bell.next_flush_at >= 3 * pacing.INTERVAL + bell.started_at


def test_an_earlier_wish_wins_over_a_later_one() -> None:
    pacer, bell = Pacer(), Bell()
    pacer.wake(bell, 600)
    pacer.wake(bell)
    assert rung(bell)
    wait_until_idle(pacer)


def test_a_broken_widget_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    pacer, broken, bell = Pacer(), Broken(), Bell()
    pacer.wake(broken)
    pacer.wake(bell, 0.05)
    assert rung(bell)
    wait_until_idle(pacer)
    assert "the comm is closed" in caplog.text


@pytest.mark.slow
def test_a71_a_widget_with_something_to_say_does_not_keep_the_interpreter_alive() -> None:
    code = "from chatlab.widgets.logs import ChatLog; log = ChatLog(); log.upsert({'id': 'a', 'text': 'x'})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_callback_that_raises_is_logged_and_the_rest_are_called(caplog: pytest.LogCaptureFixture) -> None:
    callbacks = Callbacks[[str]]()
    heard: list[str] = []
    callbacks.add(lambda text: int(text))
    remove = callbacks.add(heard.append)
    callbacks("hello")
    remove()
    remove()
    callbacks("again")
    assert heard == ["hello"]
    assert "invalid literal" in caplog.text
