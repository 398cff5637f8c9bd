"""`check` tells right from wrong, gives a hint, and takes any answer without an exception."""

from __future__ import annotations

import re

import pytest

from chatlab.errors import SettingsError
from chatlab.studies import EXERCISES, Feedback, check

FORGERY = "hi\n\nevent: typing\ndata: admin"

RIGHT: dict[str, list[object]] = {
    "start": [5, "5", "5,0", "5 s", "5000 ms", 5.44],
    "backoff": [10, "10 seconds", "ten seconds", 9.9],
    "heartbeats": [7, "7", "7 transmissions", "seven times", "seven"],
    "outbox": [123, "123 messages"],
    "event streams": [FORGERY, "\r\revent: typing\rdata: admin", "\n\ndata: admin\nevent: typing"],
    "polling": [1 / 3, "1/3", "0.33", "0,333", "1/3 messages per second", "20 a minute", "0.33/s"],
    "herd": [25, "25 s", "50,000/2,000", "at least 25 s"],
    "proxies": [29, "29 s", 30, "1/2 min"],
    "transports": [80, "80 ms", "0.08 s"],
    "fidelity": [1.25, "1.25 ms", "5/4", "0.00125 s"],
    "seed": [100, "100"],
    "your own server": ["sent", " Sent ", '"sent"'],
    "deploy": [20, 22, "20 s"],
    "incident": [8, "8 s", ">= 8", "≥ 8 s"],
    "loss": [7, "7 s"],
}
WRONG: dict[str, list[object]] = {
    "start": [4, 4.5, 6, 6.3, 7, 15, "15 s"],
    "backoff": [5, 7.5, 9, 15, 20, 30],
    "heartbeats": [1, 2, 6, 8, 6.9],
    "outbox": [100, 120, 122, 124, 150],
    "event streams": ["hi", "event: typing\ndata: admin", "\n\nevent: typing\ndata: ada"],
    "polling": [0.2, 0.25, 0.3, 0.5, 1, 3, 5, "20/s"],
    "herd": [0.04, 10, 24, 50, 1250],
    "proxies": [10, 15, 20, 28, 31, 60],
    "transports": [40, 70, 90, 160],
    "fidelity": [0.00125, 1, 2.5, 5],
    "seed": [0, 33, 90, 200],
    "your own server": ["acked", "queued", "failed"],
    "deploy": [2, 10, 19, 30, 200],
    "incident": [0.125, 5, 7, 10, 18, 40, 5000],
    "loss": [1, 3, 4, 6, 8, 15],
}
ODD: list[object] = ["", "soon", -1, "-1", True, [1, 2], {}, float("nan"), 1j, b"x", object(), "x" * 1000]


def test_every_exercise_is_tried_here() -> None:
    assert list(EXERCISES) == list(RIGHT) == list(WRONG)


@pytest.mark.parametrize("name", EXERCISES)
def test_it_tells_right_from_wrong(name: str) -> None:
    assert [answer for answer in RIGHT[name] if not check(name, answer).right] == []
    for answer in WRONG[name]:
        feedback = check(name, answer)
        assert feedback.right is False
        assert re.match(r"Not quite[.:] .*[.?]$", feedback.text), feedback.text


@pytest.mark.parametrize("name", EXERCISES)
def test_an_odd_answer_gets_a_sentence(name: str) -> None:
    for answer in ODD:
        feedback = check(name, answer)
        assert feedback.right is False
        assert re.search(r"[.?]$", feedback.text), feedback.text
        assert len(feedback.text) < 250


@pytest.mark.parametrize("name", EXERCISES)
def test_without_an_answer_it_says_what_to_do(name: str) -> None:
    assert check(name, None) == Feedback(None, "Put your answer into `answer`, and run this cell again.")


def test_a_common_mistake_has_a_hint_of_its_own() -> None:
    assert "counted from the loss" in check("start", 15).text
    assert "counted from the loss?" in check("start", 7).text


def test_an_unknown_exercise_is_named() -> None:
    with pytest.raises(
        SettingsError, match=r"no 'backof' \(did you mean 'backoff'\?\); choose one of start, backoff"
    ):
        check("backof", 1)
    for other in ("x", None, 0):
        with pytest.raises(SettingsError, match=f"no {other!r}; choose one of start"):
            check(other, 1)  # type: ignore[arg-type]


def test_a_notebook_shows_the_text_escaped() -> None:
    bundle = check("event streams", "<b>")._repr_mimebundle_()
    assert "<b>" not in bundle["text/html"]
    assert "&lt;b&gt;" in bundle["text/html"]
    assert check("start", 5)._repr_mimebundle_()["text/plain"] == "✓ Right: 5 seconds."
    assert check("start", None)._repr_mimebundle_()["text/plain"].startswith("Put your answer into `answer`")
    assert "into <code>answer</code>, and" in check("start", None)._repr_mimebundle_()["text/html"]
