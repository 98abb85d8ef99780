"""From text to a trained run: settings, planner, the one loop, checkpoints, scores, report. `run` is the assembly.

The package can also be called, as `atinuke.train("book.txt", time="2m")`: `atinuke/__init__.py` says why and how.
"""
