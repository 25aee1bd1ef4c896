"""Accounts as an operator at the machine changes them: directly in the database, with or without a running gateway."""
