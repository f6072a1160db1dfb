"""Keypoint R-CNN of torchvision, under the contract of the other models."""
