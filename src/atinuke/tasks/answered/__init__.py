"""Tasks whose answers a network writes itself: translations, summaries, the names of digits."""
