"""Data sets: reading, caching, splitting, cropping and batching faces."""
