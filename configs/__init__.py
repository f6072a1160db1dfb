"""The Hydra configs; installed as `landmarks.configs`."""
