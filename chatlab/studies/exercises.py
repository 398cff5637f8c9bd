"""The notebooks' exercises: `check("backoff", answer)` says whether an answer is right, or gives a hint.

`notebooks/solutions` derives each answer, for teachers.
"""

from __future__ import annotations

from chatlab.errors import SettingsError
from chatlab.studies.exercise import Exercise, Feedback
from chatlab.studies.guesses import ChoiceQuestion, ForgeryQuestion, NumberQuestion
from chatlab.text import unknown_name

NO_ANSWER = "Put your answer into `answer`, and run this cell again."

EXERCISES: dict[str, Exercise] = {
    "start": Exercise(
        NumberQuestion(5.15, "seconds", within=0.35),
        "When does each attempt come, counted from the loss?",
        {
            15.0: "That is counted from the loss; the server returns 10 s after it.",
            10.0: "That is the length of the outage.",
        },
    ),
    "backoff": Exercise(
        NumberQuestion(10, "seconds", within=0.5),
        "Draw a few delays on a line, and drop a pin at random.",
        {
            15.0: "That is the mean delay. How much of it is left when the server returns?",
            7.5: "That is half of the mean delay. Is a pin as likely to hit a short delay as a long one?",
        },
    ),
    "heartbeats": Exercise(
        NumberQuestion(7, "transmissions", within=0),
        "At which times is the ping sent, within the 10 s?",
        {
            6.0: "The first transmission can be lost too. When are the second and the third one sent?",
            8.0: "Is the eighth one sent within the 10 s?",
        },
    ),
    "outbox": Exercise(
        NumberQuestion(123, "messages", within=0),
        "Try it with `drops`: the smallest size that drops nothing.",
        {120.0: "The server is back after 120 s. When does the person's next attempt come?"},
    ),
    "event streams": Exercise(ForgeryQuestion("typing", "admin"), "What ends an event?"),
    "polling": Exercise(
        NumberQuestion(0.335, "messages a second", within=0.025),
        "When does one poll bring more than one message?",
        {
            3.0: "That is the interval in seconds. How many messages a second is one in each interval?",
            0.2: "At that rate, the one above, short polling makes 1.67 requests for each.",
            0.3: "That is near: there it makes 1.11 requests for each.",
            1.0: "That is the number of requests. Which rate makes 1/(3 · rate) equal to it?",
            5.0: "That is the seconds between two messages above.",
        },
    ),
    "herd": Exercise(
        NumberQuestion(25, "seconds", within=0.1),
        "Nobody connects faster than the server accepts.",
        {
            1250.0: "That is the time at 40 a second.",
            0.04: "Divide the people by the rate, not the rate by the people.",
        },
    ),
    "proxies": Exercise(
        NumberQuestion(29.5, "seconds", within=0.5),
        "Try it with `survives`: for how long does the proxy hear nothing?",
        {15.0: "That one survives, and a longer interval does too."},
    ),
    "transports": Exercise(
        NumberQuestion(80.5, "milliseconds", within=1.5),
        "What were the two further ways for?",
        {160.0: "Is the connection of the last POST still open after three seconds?"},
    ),
    "fidelity": Exercise(
        NumberQuestion(1.25, "milliseconds", within=0.01),
        "How late is an answer, if each of its ways is late?",
        {5.0: "That is allowed for the answer, which comes after four ways."},
    ),
    "seed": Exercise(NumberQuestion(100, "messages", within=1), "Look at the row of the threes."),
    "your own server": Exercise(
        ChoiceQuestion("sent", ("queued", "sent", "acked", "dropped", "expired", "failed")),
        "Did the server ever say that it has the message?",
    ),
    "deploy": Exercise(
        NumberQuestion(22.5, "seconds", within=2.5),
        "Divide a node's people by what the service bears.",
        {
            200.0: "That is for all nodes. Only one is drained at a time.",
            2.0: "Each node holds 10,000 people, not all nodes together.",
            30.0: "That keeps the bound with room to spare. How many are needed on average?",
        },
    ),
    "incident": Exercise(
        NumberQuestion(8, "seconds", within=0.1),
        "How many people can be accepted in a second?",
        {
            5.0: "That is the time at 40 a second.",
            18.0: "That is how long the server was down.",
            5000.0: "Divide, don't multiply.",
        },
    ),
    "loss": Exercise(
        NumberQuestion(7, "seconds", within=0),
        "Add up the waits before the second, the third and the fourth SYN.",
        {
            4.0: "That is the wait before the fourth SYN alone.",
            15.0: "Then the fifth is sent.",
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
        raise SettingsError(f"exercise: {unknown_name(exercise, EXERCISES)}")
    return Feedback(None, NO_ANSWER) if answer is None else found.judge(answer)
