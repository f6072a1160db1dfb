"""A page that shows faces with their points, from a server on this machine alone."""
