"""Keypoint R-CNN of torchvision, with the interface of the other models."""
