assert all(result.metrics["attempts"] == 1 for result in behind.values())
assert short["WebSocket"].metrics["attempts"] > 10
assert short["SSE"].metrics["attempts"] == short["short polling"].metrics["attempts"] == 1
assert all(result.metrics["attempts"] == 1 for result in mended.values())
assert first.state == second.state == "acked"
experiment = ", ".join(name for name in behind if behind[name].metrics["attempts"] > 1) or "none"
