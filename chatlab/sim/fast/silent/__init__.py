"""Silent clients: people who connect, stay and reconnect, in a run in which nobody sends a message.

If no message is ever sent, outbox, cursor and room do nothing. What remains of a machine is its backoff, its
heartbeat, and the time at which its link opened. A silent client is only that, and a fifth of the size of a
driver with machine and link.

It is *promoted* to a driver with a machine and a link, for good,

- if a fault touches its path, or finds an attempt or a heartbeat under way,
- if an attempt may reach its time-out, or something may interfere with it,
- if a pong may come too late, or pings are so frequent that the server's rate limit may be felt.

So all figures are the same as without, to the last bit, but for the order at the very same instant: in the
accept queue, silent clients come after people of the script. Recorded people are never silent clients.
"""
