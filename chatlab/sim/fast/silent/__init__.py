"""People as extras: who come, hold their places and come back, where nobody says anything.

What becomes of a herd is decided by its policy and at the server's door. Where no message is ever sent,
outbox, cursor and room have nothing to do, and what remains of a machine is its backoff, its heartbeat, and
when it is told something. An extra is just that, and a fifth of the size of a driver with machine and link.

For whatever is more than that an extra *becomes real*: a driver with a machine and a link that stand where it
stood, for good. So it does

- where a fault touches its path, or finds an attempt or a heartbeat under way,
- where an attempt may come to its time-out, or something may come between,
- where a pong may come too late, or pings come so often that the server's rate limit may be felt.

So all figures are the same as without extras, to the last bit, but for who comes first at the very same
instant: at the door, extras come after people of the script. Who is recorded is never an extra.
"""

from chatlab.sim.extras.cast import Cast, are_enough
from chatlab.sim.extras.extra import Extra
from chatlab.sim.extras.stage import Stage

__all__ = ["Cast", "Extra", "Stage", "are_enough"]
