"""What one step learns from, by kind of data; each batch a pure function of (seed, position), so resuming is exact."""
