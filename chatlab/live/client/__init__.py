"""The transports on real sockets: a driver for their machines, connections and requests, and handlers."""
