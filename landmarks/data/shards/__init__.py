"""What `landmarks pack` writes: shards of images, near or in a store."""
