"""What stands in a run's folder: checkpoints, logs, pictures, predictions, submissions."""
