"""The pieces that networks are composed of: each small, each with a readable twin where it has a fast path.

Axes everywhere: B batch, T tokens (query side), S tokens (key side), D model, H heads, E per-head, V vocabulary.
"""
