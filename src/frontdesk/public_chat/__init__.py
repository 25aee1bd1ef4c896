"""Agents as chats for strangers: the interfaces that their owners build, and the sessions of those who visit them.

Owns what a chat looks like and allows, who may go on with a session, and what is counted of it. Threads, messages and
answers are the conversation's: a visitor's thread is a thread of the interface's owner, and a session is the only way
to it.
"""
