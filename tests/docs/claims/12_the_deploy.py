worst = {name: max(result.series["attempts"]) for name, result in runs.items()}
assert abs(lost - 1.70) < 0.06
assert round(19 / 20 * ((20 / 19) ** 20 - 1), 2) == 1.70
assert 200 < worst["as it is"] < 260
assert set(nodes["queue_max"]) == {scenario.server.backlog} == {5}
assert worst["drain of 20 s"] <= bound < worst["clients wait up to 20 s"] < worst["as it is"] / 4
assert away(runs["drain of 20 s"]) < away(at_once) < 3
assert away(runs["clients wait up to 20 s"]) > 12
assert runs["least connections"].metrics["broken"] < 1.1 * people
assert max(runs, key=lambda name: away(runs[name])) == "least connections"
assert 12 < fullest / bound < 14
experiment = lost
