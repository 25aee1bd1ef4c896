"""Recorded histories of the workflow, and the program that records them: `make histories`, once for a release."""
