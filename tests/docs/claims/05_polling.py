from chatlab.studies import short_poll_cost

assert abs(mean(short.latencies) - short_poll_cost(0.2, 3.0, 0.04).latency) < 0.06
assert abs(short.requests / short.messages - 1 / 0.6) < 0.1
assert abs(mean(long.latencies) - law.latency) < 0.001
assert max(long.latencies) < 0.1201
experiment = mean(short.latencies)
