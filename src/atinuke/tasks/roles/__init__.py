"""Semantic role labelling: who did what to whom, as spans of words around a predicate."""
