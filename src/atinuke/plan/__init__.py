"""What a training run would do and need: on this machine, or on many that are not here."""
