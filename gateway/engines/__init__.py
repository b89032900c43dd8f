"""What listens, thinks and speaks: engines behind three protocols, tried in the order configured."""
