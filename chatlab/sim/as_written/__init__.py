"""The original document's snippets as they are written, with their faults, for the model world.

They are machines like ours, so the simulator drives them through the same scenarios, and their losses can be
compared with ours. No application can use them: `live` doesn't import `sim`, and their settings make no
transport.

Each machine's docstring says which lines cause which fault. If the document leaves something out, such as the
caller of `startHeartbeat`, the docstring states our reading. Their names in scenarios begin with `seed_`.
"""
