await bob.disconnect()
states = [row["state"] for row in panel.messages.rows() if row.get("own")]
assert heard == ["Hello Bob.", "Is anybody there?", "I'll wait."], heard
assert states == ["acked"] * 3, states
assert result.metrics["lost"] == 0
assert result.metrics["duplicated"] == 0
experiment = (
    "both, once each and in order" if heard[1:] == ["Is anybody there?", "I'll wait."] else str(heard)
)
