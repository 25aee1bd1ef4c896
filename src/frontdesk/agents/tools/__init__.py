"""One catalogue of tools from every source: what it declares, what it takes, and which name means which.

Owns the catalogue's file, the check of arguments before a call and unique names. It refuses to know how a source is
called, which is its adapter's business, and whether a call is approved, which is the caller's.
"""
