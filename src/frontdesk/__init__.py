"""Frontdesk: a self-hosted chat gateway. One durable log of each conversation, many wires to read it on."""

__version__ = "0.1.0"
