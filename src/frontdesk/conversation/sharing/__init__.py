"""Copies of threads for readers without an account: made once, read by whoever has the address, ended by their owner.

Owns what of a thread such a reader is shown. It refuses everything that says more: other branches, messages of the
roles `system` and `tool`, ids of people, and where files lie.
"""
