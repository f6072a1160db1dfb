"""Train, judge and run dense facial landmark models."""

__version__ = "0.1.0"
