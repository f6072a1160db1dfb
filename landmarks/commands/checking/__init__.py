"""What `landmarks check` asks a trained model."""
