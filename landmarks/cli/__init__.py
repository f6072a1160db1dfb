"""The command line: all that knows Hydra, but for commands/."""
