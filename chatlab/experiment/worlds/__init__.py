"""The three worlds in which a scenario runs: `model`, `wire` and `live`."""
