"""Classes and ratings of texts and pairs of texts: GLUE, natural language inference, and anybody's tables."""
