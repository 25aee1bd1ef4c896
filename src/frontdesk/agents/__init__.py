"""Agents: what answers in a thread when it is more than a model.

Owns the records of agents, who may use them, and the tools that they can be given. It refuses to run anything: a turn
does, in `conversation`.
"""
