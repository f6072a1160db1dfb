"""What `landmarks evaluate` is made of, and the report at a training's end."""
