"""Visitors' sessions: who may go on with one, what is said in it, and how it is followed and forgotten."""
