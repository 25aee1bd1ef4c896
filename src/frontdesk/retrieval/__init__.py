"""What can be found: what was said in chats, and what documents and links hold that an answer can draw on.

For chats it owns the outbox, the words and trigrams in the database, and the generations of vectors. It guarantees that
each stored change of a message or a thread reaches the indexes in the end, once or more, and that no question sees
another's threads. It refuses to index what is still being said, and to hold up a message for an index.

It trusts no document and no address. It owns neither the files that it reads nor what is stored of their chunks, and
the process that it runs in never parses a document: `frontdesk.extractor` does, in one of its own.
"""
