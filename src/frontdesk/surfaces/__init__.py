"""Surfaces: each is authentication, an encoding of the log, and nothing else. They are independent of each other."""
