"""Documents and links that an answer can draw on: their text, its chunks, and the way into a store.

It trusts no document and no address. It owns neither the files that it reads nor what is stored of them, and the
process that it runs in never parses a document: `frontdesk.extractor` does, in one of its own.
"""
