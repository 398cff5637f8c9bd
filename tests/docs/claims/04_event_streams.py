assert [event.data for event in EventStreamParser().feed(stream)] == ["hello", "ada", "two\nlines"]
assert parser.last_event_id == "42"
assert events_of([text]) == ["grüße", "你好"]
assert event.message.text == "Hello from a POST."
late = streams["holds 4 KiB back"]["SSE"].metrics
assert 20 < late["latency_p50"] < 40
assert late["delivered"] < streams["passes events"]["SSE"].metrics["delivered"]
assert late["lost"] == 0
assert late["attempts"] > 3
assert streams["waits for the end"]["SSE"].metrics["delivered"] == 0
assert {results["SSE, then polling"].metrics["delivered"] for results in streams.values()} == {258}
assert all(results["SSE, then polling"].metrics["latency_p50"] < 0.2 for results in streams.values())
forged = EventStreamParser().feed(b"data: hi\r\revent: typing\rdata: admin\n\n")
assert [(event.type, event.data) for event in forged] == [("message", "hi"), ("typing", "admin")]
experiment = len(EventStreamParser().feed(stream))
