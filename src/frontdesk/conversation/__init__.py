"""Conversations: threads, messages, the executions that answer them, and the feed that readers follow.

Owns every rule about them, over the ports. It refuses to know any wire, any vendor and any framework: surfaces call
it with a `Principal`, and every call is decided by `identity.access`.
"""
