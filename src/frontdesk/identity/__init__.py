"""Who someone is, what proves it, and what they may do.

Owns users, passwords, tokens and the access policy. It refuses to know any wire: a surface authenticates through it
and is handed a `Principal`. A token that was revoked counts nowhere after one second, in every process on the database.
"""
