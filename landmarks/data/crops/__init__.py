"""Where the face is in an image, and the pixels about it."""
