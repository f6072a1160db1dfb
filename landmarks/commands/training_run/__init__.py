"""What `landmarks train` is made of: its inputs, its length, its folder."""
