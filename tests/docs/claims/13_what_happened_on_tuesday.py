assert fitted.best == "socket.io"
assert "Phoenix" not in fitted.possible
low, high = length.intervals["faults[0].duration"]
assert low < 18 < high
assert length.rows[0]["off"] <= fitted.rows[0]["off"]
assert found.kept[found.value]
before, after = (result.metrics["attempts_per_second_max_after"] for result in runs.values())
assert after <= 45 < before
assert all(result.metrics["unrecovered"] == 0 for result in runs.values())
assert runs["with the setting"].metrics["recovery_p99"] > 5
file.unlink()
experiment = max(int(line.split(";")[1]) for line in TUESDAY.splitlines()[1:])
