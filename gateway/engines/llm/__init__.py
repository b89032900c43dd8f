"""Chat model engines."""
