"""The commands: one file each, which says what its line looks like and hands what was typed to its stage.

None of them imports its stage, or anything heavy, before it runs.
"""
