"""What `landmarks plan` is made of."""
