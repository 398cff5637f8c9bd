"""The embedded server: connections, rooms and their histories, over WebSocket and HTTP."""
