assert all(result.metrics["lost"] == 0 for result in talks.values())
assert all(abs(result.metrics["latency_p50"] - 0.08) < 0.001 for result in talks.values())
assert all(abs(late(result) - (1 - (1 - loss) ** 2)) < 0.02 for loss, result in talks.items())
assert 0.3 < talks[0.05].metrics["latency_p95"] < 0.4
assert talk(0.05, transports["SSE + POST"]).metrics["latency_p95"] > 1
experiment = 100 * late(talks[0.05])
