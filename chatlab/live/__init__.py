"""Chat over real sockets, on asyncio: the transports (`client`), the embedded server (`server`), and what is
particular to neither: threads and loops, the user's code, logs, and the fault proxy."""
