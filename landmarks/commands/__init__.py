"""One module a command: it builds plain objects from settings and calls the rooms below."""
