"""Adapters: one technology behind one port each. They wrap their vendor's errors and are chosen in `bootstrap`
alone.
"""
