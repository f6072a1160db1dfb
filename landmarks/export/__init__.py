"""What makes of a trained model a file that finds points without this program."""
