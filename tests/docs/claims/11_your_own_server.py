assert event.message.text == "Is there an echo?"
assert receipt.state == "sent"
experiment = receipt.state.value
assert (probed.dialect, probed.requests) == ("text", 8)
assert mosquitto is None or (from_broker.sender, from_broker.text) == ("ada", "Is there a broker?")
