"""Secrets of embedded clients: signed for an hour with a key of their own, one use for each renewal."""
