"""Long proofs of what the program promises under faults. `python -m chaos --help` says how many of which.

Each proof drives the served program over real sockets, counts what it did, and lists every promise it saw broken.
The tests run the same proofs in small numbers.
"""
