"""OpenAI's API at `/v1`, passed through to the configured provider: callers are known, counted and limited, and the
provider's bytes stay what they are.
"""
