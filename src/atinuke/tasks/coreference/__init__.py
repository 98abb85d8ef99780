"""Coreference: which words of a text mean the same person or thing, and the official scorers of three data sets."""
