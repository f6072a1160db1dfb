"""Models: a backbone that gives features, a head that owns its representation of points."""
