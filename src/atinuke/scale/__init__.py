"""`atinuke scale`: a ladder of small runs, the scaling laws that they follow, and what those say of larger ones."""
