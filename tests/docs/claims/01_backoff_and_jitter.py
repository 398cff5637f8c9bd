assert (seed[:, 5:] == 30).all()
plain = backoff_delays(ReconnectConfig(jitter="none"), samples=1)[0]
assert all(plain[n - 1] == min(1 * 2 ** (n - 1), 30) for n in range(1, 11))
assert abs(herds["full"].returns.mean() - 30 / 3) < 0.3
assert abs(herds["equal"].returns.mean() - 7 * 30 / 18) < 0.3
unlucky = herd_returns(ReconnectConfig(jitter="seed", max_attempts=None), people=10_000, outage=605.0)
assert herds["seed"].returns.mean() < 3 < 27 < unlucky.returns.mean()
assert unlucky.returns.max() - unlucky.returns.min() < 3.1
assert 1 < herds["seed"].returns.min() < herds["seed"].returns.max() < 4
outages = [
    herd_returns(ReconnectConfig(jitter="seed", max_attempts=None), people=1000, outage=600.0 + second)
    for second in range(30)
]
assert abs(sum(herd.returns.mean() for herd in outages) / len(outages) - 15) < 0.1
assert herds["full"].busiest() < 0.02 < herds["seed"].busiest()
experiment = float(seed[:, 5].max() - seed[:, 5].min())
