from chatlab.experiment import tolerance_of

assert compare(model, wire)
assert compare(model, live)
assert not found
assert found.first.number == 2
assert abs(found.first.a.at - found.first.b.at - 0.004) < 1e-6
assert not with_latency(2.0)
assert tolerance_of(model, live).seconds == 0.005 + live.lateness
for name in ("sent", "delivered", "lost", "bytes_down"):
    assert model.metrics[name] == wire.metrics[name]
assert live.metrics["lost"] == 0
experiment = "some milliseconds at most" if compare(model, live) else "up to a second"
