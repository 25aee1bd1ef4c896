"""Agents over HTTP: their owners keep them, and whoever may use one sees it."""
