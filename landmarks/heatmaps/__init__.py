"""Heatmaps of many landmarks in bounded memory: targets and loss, decoders."""
