from statistics import mean

from chatlab.studies import datagram_alarm_after, detection_span, late_pong_share

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
