"""What opens a checkpoint for use, by whatever command or program."""
