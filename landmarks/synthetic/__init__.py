"""Painted faces in the 971-point layout: data for a first run, and for pretraining."""
