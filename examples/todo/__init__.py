"""A to-do assistant: an agent of the OpenAI Agents SDK that keeps a list of tasks for each user, and a page for it.

It owns its own database and nothing of the gateway's. Whose list it is follows from the signed-in user alone; no model
and no page can name another.
"""
