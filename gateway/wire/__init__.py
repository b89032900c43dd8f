"""What goes over MQTT: topics, frames and JSON messages. Pure: no input or output, no clock."""
