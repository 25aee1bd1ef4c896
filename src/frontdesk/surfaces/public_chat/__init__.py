"""Public chats over HTTP, for visitors without an account: camelCase, and failures in plain words. No cookie is ever
set or read.
"""
