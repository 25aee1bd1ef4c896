"""The WebSocket gateway: a thread's answers as messages over a socket, and what a client says for them."""
