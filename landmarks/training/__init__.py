"""Training: the loops, what changes in them, and what they cost."""
