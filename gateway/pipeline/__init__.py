"""One turn, in the order in which it happens: assemble, hear, reply, sentences, speak, transmit."""
