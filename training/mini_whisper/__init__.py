"""Training of the miniature Whisper that the tests and the offline demo recognise speech with."""
