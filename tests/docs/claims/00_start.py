await bob.disconnect()
states = [row["state"] for row in panel.messages.rows() if row.get("own")]
assert heard == ["Hello Bob.", "Is anybody there?", "I'll wait."], heard
assert states == ["acked"] * 3, states
assert result.metrics["lost"] == 0
assert result.metrics["duplicated"] == 0
