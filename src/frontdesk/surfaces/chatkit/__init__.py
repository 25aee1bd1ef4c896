"""The ChatKit surface: OpenAI's chat widget over our conversations, without its cloud.

`chatkit.types` of the package `openai-chatkit` says what is on the wire. Its server is not used: it makes an object of
each token, cancels an answer whose reader leaves, and keeps items where we have messages.
"""
