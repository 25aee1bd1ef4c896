"""Sessions of agent front ends: each is a thread with an id that is hard to guess, its feed, and its uses of tools.

Owns who holds a session, what a feed shows and how it goes on, and that a call is recorded before it is made. It
refuses to keep a conversation of its own: messages, answers and their log are the thread's.
"""
