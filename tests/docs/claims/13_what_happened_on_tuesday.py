assert fitted.best == "socket.io"
assert "Phoenix" not in fitted.possible
assert abs(length.rows[0]["faults[0].duration"] - 18) < 3
assert found.kept[found.value]
before, after = (result.metrics["attempts_per_second_max_after"] for result in runs.values())
assert after <= 45 < before
assert all(result.metrics["unrecovered"] == 0 for result in runs.values())
assert runs["with the setting"].metrics["recovery_p99"] > 5
file.unlink()
experiment = max(int(line.split(";")[1]) for line in TUESDAY.splitlines()[1:])
