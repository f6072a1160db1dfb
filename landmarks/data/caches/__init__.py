"""Folders of what was read or made once."""
