"""Chat over real sockets, on asyncio: the transports (`client`), the embedded server (`server`), and the
parts that both use: threads and loops, calls of the user's code, logs, and the fault proxy."""
