"""Chat interfaces: what their owners build and publish, and the figures of what comes of it."""
