"""How good a model is, where it fails, and whether another one is better by more than chance."""
