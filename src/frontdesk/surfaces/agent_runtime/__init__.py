"""The agent's runtime: answers for a gateway elsewhere, as server-sent events, and keeps each session's history."""
