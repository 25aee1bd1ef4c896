"""Accounts: their names, passwords, roles and allow lists. The first account of a database is its administrator."""
