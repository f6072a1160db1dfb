"""One reader a format; each returns `Faces`."""
