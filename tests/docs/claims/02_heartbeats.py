from statistics import mean

from chatlab.experiment import ScriptEntry
from chatlab.studies import datagram_alarm_after, detection_span, late_pong_share
from chatlab.transports import Send, Settle

assert detection_span(30.0, 10.0) == (10.0, 40.0)
assert min(noticed) >= 10.0
assert max(noticed) <= 40.1
assert abs(mean(noticed) - 25.0) < 2.5
assert max(pongs[0.01]) < max(pongs[0.05]) < 10
assert 1 / 1_000 < sum(seconds > 10 for seconds in pongs[0.2]) / len(pongs[0.2]) < 1 / 600
assert 0.08 < sum(seconds > 1 for seconds in pongs[0.2]) / len(pongs[0.2]) < 0.12
assert all(
    sum(pong > late for pong in seconds) / len(seconds) >= 0.8 * late_pong_share(late, loss, 0.04)
    for loss, seconds in pongs.items()
    for late in (0.1, 0.3)
)
assert alarms[5.0] == alarms[8.0] == 0
assert all(abs(alarms[cut] - (cut - 9.0) / 30) < 0.06 for cut in (12.0, 20.0))
assert abs(datagram_alarm_after(15.0, 0.02) / 60 - 6.3) < 0.1
years = 15 / late_pong_share(10.0, 0.02, 0.04) / (365.25 * 86_400)
assert 170_000 < years < 190_000
experiment = mean(noticed)
assert slow.now == 85.0
(one,) = slow.scenario.people.names
steps = run(slow.scenario, "wire").steps(one)
pings = [step.at for step in steps for effect in step.effects if isinstance(effect, Send)]
assert [round(at, 2) for at in pings[2:4]] == [90.16, 120.16]
assert next(round(step.at, 2) for step in steps if step.at > pings[3]) == 130.16
written = ScriptEntry(at=120.161, person=one, text="Hello?")
steps = run(slow.scenario.replace(people=PeopleConfig(script=(written,))), "wire").steps(one)
settled = [effect.state for step in steps for effect in step.effects if isinstance(effect, Settle)]
assert settled == ["sent", "sent", "acked"]
