"""Files that people bring: whose they are, what they are, and where they lie.

Owns the record of each file, the decision what it is by its content, its names, and that no file outlives its owner. It
refuses to read what is in one: that is the business of `retrieval`.
"""
