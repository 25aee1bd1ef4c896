"""Search over chats: what has changed, the indexes that are made of it, and the questions they answer.

Owns the outbox, the words and trigrams in the database, and the generations of vectors. It guarantees that each stored
change of a message or a thread reaches the indexes in the end, once or more, and that no question sees another's
threads. It refuses to index what is still being said, and to hold up a message for an index.
"""
