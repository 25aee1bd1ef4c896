"""Accounts of those who sign in elsewhere: made when they first come, and without a password."""
