"""What visitors of a public chat bring to be read: files and links, cut into chunks with vectors, and their search.

Owns the state of each source, its chunks, and who may be given them: one session's are found in that session alone. All
of it goes with its session, by foreign keys. It refuses to know how a source was brought and who answers with it.
"""
