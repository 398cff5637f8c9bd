latency = {name: result.metrics["latency_p50"] for name, result in runs.items()}
assert abs(latency["WebSocket"] - 0.08) < 0.001
assert abs(latency["SSE + POST"] - 0.16) < 0.001
assert latency["short polling"] > 1.0
assert all(
    result.metrics["lost"] == result.metrics["duplicated"] == 0
    for result in [*runs.values(), *outages.values()]
)
assert outages["SSE + POST"].metrics["recovery_p50"] > outages["WebSocket"].metrics["recovery_p50"]
assert ends["as EventSource does"].series["connected"][-1] == 0
assert ends["as chatlab does"].series["connected"][-1] == 4
assert all(shown(result) > 0.95 for result in cutting.values())
assert {name for name, result in holding.items() if shown(result) < 0.95} == {"SSE + POST"}
assert len({trips_to_connect(result) for result in runs.values()}) == 1
assert [at_once(result) for result in runs.values()] == [1, 2, 2, 2]
assert 3000 <= sizes["WebSocket"] < 3010
assert all(3990 < sizes[name] < 4010 for name in ("SSE + POST", "long polling", "short polling"))
assert blocked[0] < 1
assert blocked[1] == "acked"
assert kept.to_numpy().tolist() == [[160, 80], [160, 160]]
experiment = 1000 * latency["SSE + POST"]
