"""What a token, a stream and a message cost, next to the ways people build the same thing.

Owns the contenders, the load client and the figures. Refuses to compare across runs: machines are shared and noisy,
so every judgement is a ratio of figures that were taken in turns within one run.
"""
