"""The text of one document that nobody trusts.

It is a process of its own (`python -m frontdesk.extractor`), started for one file and gone with it: the document comes
as its standard input, the text leaves as its standard output. It gives up the network, other processes, and all files
but its scratch directory and its own programs before it reads the first byte. It imports nothing of Frontdesk.
"""
