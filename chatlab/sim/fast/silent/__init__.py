"""Silent clients: people who connect, stay and reconnect, in a run in which nobody sends a message.

If no message is ever sent, outbox, cursor and room do nothing. A silent client holds the rest of a machine's
state: its backoff, its heartbeat, and the time at which its link opened. It takes much less memory than a
driver with machine and link.

It is *promoted* to a driver with a machine and a link, for good,

- if a fault touches its path, or finds an attempt or a heartbeat under way,
- if an attempt may reach its time-out, or a fault or the end of the run may come before it is over,
- if a full accept queue ignores its final ACK, or a proxy answers it with 503,
- if a pong may come too late, or pings are so frequent that they may reach the server's rate limit.

So all figures are the same as without, to the last bit, except for the order at the very same instant: in the
accept queue, silent clients come after people of the script. Recorded people are never silent clients.
"""
