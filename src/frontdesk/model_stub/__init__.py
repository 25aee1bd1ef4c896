"""A scripted model provider: a server of its own that speaks OpenAI's chat completions and fails as it is told to.

A developer's and a benchmark's tool, never part of a deployment. It guarantees the same bytes for the same script, save
for ids and times, and costs little for each token. Run it with `python -m frontdesk.model_stub`.
"""
