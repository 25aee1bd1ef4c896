"""The tools that an answer calls: the record of each call, its making, and what somebody else brings for it.

A call that may not be repeated is made at most once: that it begins is stored before it does, and one that was under
way when its runner died is told to the model as one whose fate nobody knows.
"""
