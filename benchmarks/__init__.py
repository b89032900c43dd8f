"""What the gateway costs: waiting, messages, devices, audio, storage. README.md says how to read it."""
