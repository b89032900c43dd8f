"""The MQTT side: one protocol, a client for any broker, and a broker to embed."""
