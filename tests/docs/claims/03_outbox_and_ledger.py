for kept in runs.values():
    metrics = kept.metrics
    assert metrics["lost"] == metrics["duplicated"] == metrics["out_of_order"] == 0
    assert metrics["sent"] == 180 == metrics["acked"] + metrics["dropped"]
assert max(dropped(runs["drop-oldest"])) < max(dropped(runs["drop-newest"]))
experiment = runs["drop-oldest"].metrics["dropped"]
