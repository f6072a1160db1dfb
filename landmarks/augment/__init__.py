"""Augmentation: one matrix a face moves pixels and points; then light and damage."""
