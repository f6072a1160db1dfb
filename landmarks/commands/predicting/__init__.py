"""What `landmarks predict` is made of: its faces, their points, its pictures."""
