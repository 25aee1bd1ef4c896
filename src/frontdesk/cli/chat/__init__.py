"""The terminal client: one account's threads over the public HTTP API, with nothing that only we could use.

It guarantees that an answer once asked for is shown in full: a lost connection or a restarted server is waited for,
and the stream goes on after the last event that was seen.
"""
