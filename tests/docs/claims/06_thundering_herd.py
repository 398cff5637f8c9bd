count = scenario.people.count
assert runs["full jitter"].series["connected"][-1] == count
assert runs["the seed"].series["connected"][-1] == count
assert 0.55 * count < refused["the seed"].series["connected"][-1] < 0.65 * count
assert refused["full jitter"].series["connected"][-1] == count
waves = [runs["the seed"].series["connected"][second] for second in (50, 75, 110, 140)]
assert waves[0] < 0.1 * count < 0.3 * count < waves[1] < 0.5 * count < waves[2] < count == waves[3]
back = next(
    second for second in range(50, 300) if runs["full jitter"].series["connected"][second] >= 0.99 * count
)
assert back - 50 < 90
assert peaks(runs["full jitter"])[0] > peaks(runs["the seed"])[0] == count
assert peaks(runs["full jitter"])[1] < peaks(runs["the seed"])[1] / 2
assert back - 50 >= count / 40 - 1
assert all(storm.goodput() > 20 for storm in storms["backoff and jitter"])
assert sum(storm.goodput() < 1 for storm in storms["no backoff"]) > 4
experiment = refused["the seed"].series["connected"][-1]
