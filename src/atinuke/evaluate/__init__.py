"""A trained run and some text → how well the one predicts the other. Importing this room imports no torch."""
