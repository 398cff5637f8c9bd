ours = table.xs("ours", level=1)
written = table.xs("as written", level=1)
assert (ours["lost"] == 0).all()
assert (ours["out of order"] == 0).all()
assert (written.loc[["queue", "long poll", "long poll, threes"], "lost"] > 0).all()
assert written.loc["short poll", "out of order"] > 0
assert written.loc["stream", "shown"] < ours.loc["stream", "shown"]
assert written.loc["stream", "away at the end"] == 100
assert (ours["away at the end"] == 0).all()
assert written.loc["heartbeat", "connections"] > 10 > ours.loc["heartbeat", "connections"]
twice = written["shown"] > ours["shown"]
experiment = ", ".join(written.index[twice & (written["lost"] == 0)])
