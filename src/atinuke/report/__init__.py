"""What a run folder shows to people, made from its own files alone: report.html and the model card."""
