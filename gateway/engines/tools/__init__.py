"""What the chat model may do besides talking. See `gateway.engines.tools.protocol` for how to write one."""
