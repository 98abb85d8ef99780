"""What the stages that train several runs have in common: their folder, their settings, their tables and pictures."""
