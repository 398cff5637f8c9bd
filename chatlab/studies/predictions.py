"""The notebooks' predictions: what a student guesses before the experiment shows it.

The tests compare each answer with what the notebook's cells find.
"""

from __future__ import annotations

from msgspec import Struct


class Prediction(Struct, frozen=True):
    """A question with its answer: a number of `unit`s, right within `within`, or one of the `options`."""

    question: str
    answer: float | str
    unit: str = ""
    within: float = 0.0
    options: tuple[str, ...] = ()


PREDICTIONS: dict[str, Prediction] = {
    "start": Prediction(
        "You write two messages while the server is down for three seconds. What does your friend receive?",
        "both, once each and in order",
        options=("nothing", "only one", "both, once each and in order", "both, one of them twice"),
    ),
    "backoff": Prediction(
        "By how many seconds do ten clients differ in their sixth delay?", 0.0, "s", within=0.05
    ),
    "heartbeats": Prediction(
        "How many seconds does it take on average to notice that the connection is dead?",
        25.0,
        "s",
        within=1.5,
    ),
    "outbox": Prediction("How many of the 180 messages does the outbox drop?", 23.0, "messages", within=1.0),
    "event streams": Prediction("How many events are in these bytes?", 3.0, "events"),
    "polling": Prediction("How late is a message on average?", 1.54, "s", within=0.06),
    "herd": Prediction(
        "The server refuses those for whom its queue is full. How many of 1,000 are back after ten attempts?",
        574.0,
        "people",
        within=60.0,
    ),
    "proxies": Prediction(
        "Which of the four transports lose their connection behind this proxy?",
        "none",
        options=("none", "WebSocket", "SSE", "WebSocket and SSE", "all but short polling"),
    ),
    "transports": Prediction(
        "How many milliseconds does a message take by SSE and POST?", 160.0, "ms", within=10.0
    ),
    "fidelity": Prediction(
        "How far apart is the same event in the model and on real sockets?",
        "some milliseconds at most",
        options=("microseconds at most", "some milliseconds at most", "up to a second"),
    ),
    "seed": Prediction(
        "Which snippet loses nothing, and shows the same message twice?",
        "short poll",
        options=("heartbeat", "queue", "long poll", "stream", "short poll"),
    ),
    "your own server": Prediction(
        "Which state does the message reach?", "sent", options=("queued", "sent", "acked")
    ),
    "deploy": Prediction(
        "How often does a person lose the connection, on average?", 1.7, "times", within=0.1
    ),
    "incident": Prediction("How many attempts come in the worst second?", 113.0, "attempts", within=15.0),
    "loss": Prediction("Which share of the messages is late?", 9.75, "%", within=1.3),
}
"""Each notebook's prediction."""
