"""The notebooks' exercises: `check("backoff", answer)` says whether an answer is right, or gives a hint.

`notebooks/solutions` derives each answer, for teachers.
"""

from __future__ import annotations

from chatlab.errors import SettingsError
from chatlab.studies.exercise_kinds import Choice, Exercise, Feedback, Forgery, Quantity
from chatlab.text import did_you_mean

NO_ANSWER = "Put your answer into `answer`, and run this cell again."

EXERCISES: dict[str, Exercise] = {
    "start": Quantity(
        4.8,
        5.5,
        "seconds",
        "When does each attempt come, counted from the loss?",
        {
            15.0: "That is counted from the loss; the server returns 10 s after it.",
            10.0: "That is the length of the outage.",
        },
    ),
    "backoff": Quantity(
        9.5,
        10.5,
        "seconds",
        "Draw a few delays on a line, and drop a pin at random.",
        {
            15.0: "That is the mean delay. How much of it is left when the server returns?",
            7.5: "That is half of the mean delay. Is a pin as likely to hit a short delay as a long one?",
        },
    ),
    "heartbeats": Quantity(
        7,
        7,
        "times",
        "At which times is it sent, within the 10 s?",
        {6.0: "The first transmission can be lost too. When is it sent for the third time?"},
    ),
    "outbox": Quantity(
        123,
        123,
        "messages",
        "Try it with `drops`: the smallest size that drops nothing.",
        {120.0: "The server is back after 120 s. When does the person's next attempt come?"},
    ),
    "event streams": Forgery("typing", "admin"),
    "polling": Quantity(
        0.31,
        0.36,
        "messages a second",
        "When does one poll bring more than one message?",
        {3.0: "That is the interval in seconds. How many messages a second is one in each interval?"},
    ),
    "herd": Quantity(24.9, 25.1, "seconds", "Nobody connects faster than the server accepts."),
    "proxies": Quantity(
        30,
        30,
        "seconds",
        "Try it with `survives`: for how long does the proxy hear nothing?",
        {15.0: "That one survives, and a longer interval does too."},
    ),
    "transports": Quantity(
        79,
        82,
        "milliseconds",
        "What were the two further ways for?",
        {160.0: "Is the connection of the last POST still open after three seconds?"},
    ),
    "fidelity": Quantity(
        1.24,
        1.26,
        "milliseconds",
        "How late is an answer, if each of its ways is late?",
        {5.0: "That is allowed for the answer, which comes after four ways."},
    ),
    "seed": Quantity(99, 101, "messages", "Look at the row of the threes."),
    "your own server": Choice(
        "sent",
        ("queued", "sent", "acked", "dropped", "expired", "failed"),
        "Did the server ever say that it has the message?",
    ),
    "deploy": Quantity(20, 25, "seconds", "Divide a node's people by what the service bears."),
    "incident": Quantity(
        7.9,
        8.1,
        "seconds",
        "How many people can be accepted in a second?",
        {5.0: "That is the time at 40 a second.", 5000.0: "Divide, don't multiply."},
    ),
    "loss": Quantity(
        7,
        7,
        "seconds",
        "Add up the waits before the second, the third and the fourth SYN.",
        {
            4.0: "That is the wait before the fourth SYN alone.",
            3.0: "Linux since 6.5 does that; the question is about the rule of RFC 6298, which doubles.",
        },
    ),
}
"""Each notebook's exercise."""


def check(exercise: str, answer: object) -> Feedback:
    """Return whether an answer of any type is right, or a hint; None as the answer asks for one.

    Errors: `SettingsError` if there is no such exercise.
    """
    found = EXERCISES.get(str(exercise))
    if found is None:
        hint = did_you_mean(str(exercise), EXERCISES)
        raise SettingsError(f"exercise: there is no {exercise!r}{hint}; choose one of {', '.join(EXERCISES)}")
    return Feedback(None, NO_ANSWER) if answer is None else found.judge(answer)
