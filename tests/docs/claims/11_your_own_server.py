assert event.message.text == "Is there an echo?"
assert receipt.state == "sent"
experiment = receipt.state.value
