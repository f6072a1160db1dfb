"""Shapes of many faces: aligned, mirrored, and compared."""
