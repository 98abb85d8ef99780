"""Tasks: each reads its data as published, puts a head on a network of ours, and is scored by its official rules."""
