"""A network and a task → a tuned run. Importing this room imports no torch."""
