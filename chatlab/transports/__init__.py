"""Chat transports as pure machines: events in, effects out, without sockets or a clock."""
