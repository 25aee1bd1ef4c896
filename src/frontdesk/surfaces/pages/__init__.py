"""The pages that browsers open: a chat by itself, in a frame and in a widget, and the files that they are made of.

It hands out what was built and what a page needs to know, and decides who may frame it. A page asks the API for the
rest.
"""
