"""A document back end: it keeps texts and their versions, improves, publishes and exports them, and tells what happens.

It owns its data directory and is the only process on it. It knows nothing of who calls: every document belongs to the
session that the caller names, and to no other. An effect that has a key happens once.
"""
