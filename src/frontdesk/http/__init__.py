"""What every HTTP surface shares: declared authentication, problem documents, bounded bodies, request ids,
idempotency keys.

It refuses to know any surface, and decides nothing about access: it authenticates, and `identity.access` decides.
"""
