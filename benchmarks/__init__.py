"""What the gateway itself costs: waiting, messages a second, memory a device. README.md says how to read it."""
