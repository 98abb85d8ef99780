"""The planner: what to train in the time given, and what will come of it."""
