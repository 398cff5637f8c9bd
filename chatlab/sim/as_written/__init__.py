"""The seed's snippets as they are written, faults and all: to be watched going wrong in the model world.

They are machines like ours, so the same simulator drives them through the same scenarios, and what they lose
can be laid beside what ours lose, which is nothing. Nobody else can have them: `live` doesn't know `sim`,
and their settings make no transport.

Each machine says which lines of the seed cause which fault. Where the seed leaves something out, such as who
calls `startHeartbeat`, the nearest reading is taken, and named too. Their names in scenarios begin with
`seed_`.
"""
