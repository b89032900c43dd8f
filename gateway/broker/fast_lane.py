"""The way of live audio past the paho client: messages at QoS 0, in both directions, on paho's own socket.

paho reads each packet with three or more system calls, one packet a turn of the event loop, and makes some twenty
objects of it. Here the socket is read as far as it holds, and what is PUBLISH at QoS 0 goes straight to `deliver`;
every other packet is handed to paho as if it had read it itself. So connecting, subscribing, acknowledging and keeping
alive stay paho's, and so does finding out that the connection is lost.
"""

import ssl
import struct
from collections.abc import Callable

import paho.mqtt.client as paho

READ_BYTES = 256 * 1024
"""At most, in one turn of the event loop: a few milliseconds of work."""
TOPICS_KEPT = 4096
"""Topics whose text is remembered. More devices than that speak at once nowhere; then it is made anew."""
TOPIC_KEPT_MAX_BYTES = 256
"""A longer topic is no device's; MQTT allows 64 KiB, which remembered so often would be hundreds of MiB."""

_PUBLISH_QOS0 = 0x30
_RETAIN = 0x01
_MORE = 0x80
"""The bit of a length's byte that says that another one follows."""
_LENGTH_MAX_BYTES = 4
_TOPIC_MAX_BYTES = 0xFFFF
_LENGTH_MAX = 0x0FFF_FFFF
_U16 = struct.Struct("!H")
_WAIT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Deliver = Callable[[str, bytes, bool], None]
"""Takes topic, payload and whether the message is a retained one. Never raises."""


class FastLane:
    """Takes over the reading of a paho client's socket, which must have nothing half read.

    `deliver` is called for messages at QoS 0. Call `readable` when there is something to read, and `close` before the
    connection is ended: from then on only its end is looked for, and whatever else comes is thrown away.
    """

    def __init__(self, wire: paho.Client, deliver: Deliver) -> None:
        self._wire = wire
        self._deliver = deliver
        self._held = bytearray()
        self._wanted = 0
        self._for_paho = b""
        self._ended = False
        self._closed = False
        self._topics: dict[bytes, str] = {}
        wire._sock_recv = self._give_to_paho  # type: ignore[method-assign]

    def close(self) -> None:
        """Give the socket back to paho, which may be in the middle of a packet: it could not read on from there."""
        self._closed = True
        self._wire.__dict__.pop("_sock_recv", None)

    def readable(self) -> None:
        """Read what there is.

        Raises:
            Exception: whatever paho raises when the connection breaks.
        """
        open_socket = self._wire.socket()
        if open_socket is None:
            return
        try:
            data = open_socket.recv(READ_BYTES)
            # What TLS has decrypted does not make the socket readable again.
            while isinstance(open_socket, ssl.SSLSocket) and (more := open_socket.pending()):
                data += open_socket.recv(more)
        except _WAIT:
            return
        except OSError:
            data = b""
        if not data:
            self._ended = True
            self._wire.loop_read()
            return
        if self._closed:
            return
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held.clear()
        self._held += data[self._take(data) :]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Write a message at QoS 0. The wire must have nothing that waits to be written.

        Raises:
            OSError: the connection is broken.
            ValueError: it is no topic to publish to, or the message is larger than MQTT allows.
        """
        if not topic or "+" in topic or "#" in topic:
            raise ValueError(f"nothing can be published to the topic {topic!r}")
        name = topic.encode()
        length = 2 + len(name) + len(payload)
        if len(name) > _TOPIC_MAX_BYTES or length > _LENGTH_MAX:
            raise ValueError("a topic has at most 65,535 bytes, and a message 256 MiB")
        first = _PUBLISH_QOS0 | (_RETAIN if retain else 0)
        packet = b"".join((bytes((first,)), _length(length), _U16.pack(len(name)), name, payload))
        open_socket = self._wire.socket()
        if open_socket is None:
            raise ConnectionError("there is no connection")
        try:
            sent = open_socket.send(packet)
        except _WAIT:
            sent = 0
        if sent < len(packet):
            # Of a PUBLISH paho would tell that it is on its way. A PINGREQ it only writes.
            self._wire._packet_queue(paho.PINGREQ, packet[sent:], 0, 0)

    def _take(self, data: bytes) -> int:
        """Handle every packet in `data` that is whole; return how many bytes those are, and note how many the next one
        has, so that a large one is not looked at with each part that comes of it."""
        at, end = 0, len(data)
        while at < end:
            length, body = _read_length(data, at + 1)
            if body == 0:
                self._wanted = end - at + 1
                return at
            stop = body + length
            if length < 0:
                # No length of MQTT: paho ends the connection.
                stop = end
            elif stop > end:
                self._wanted = stop - at
                return at
            simple = data[at] & ~_RETAIN == _PUBLISH_QOS0
            if length < 0 or not (simple and self._take_publish(data, body, stop, data[at] & _RETAIN)):
                self._let_paho_read(data[at:stop])
                if self._wire.socket() is None:
                    return end
            at = stop
        return at

    def _take_publish(self, data: bytes, body: int, stop: int, retain: int) -> bool:
        """Deliver a message; False if it is malformed, which is for paho to complain of."""
        topic_at = body + 2
        if topic_at > stop:
            return False
        payload_at = topic_at + (data[body] << 8 | data[body + 1])
        if payload_at > stop:
            return False
        name = data[topic_at:payload_at]
        topic = self._topics.get(name)
        if topic is None:
            try:
                topic = name.decode()
            except UnicodeDecodeError:
                return False
            if len(name) <= TOPIC_KEPT_MAX_BYTES:
                if len(self._topics) == TOPICS_KEPT:
                    self._topics.clear()
                self._topics[name] = topic
        self._deliver(topic, data[payload_at:stop], bool(retain))
        return True

    def _let_paho_read(self, packet: bytes) -> None:
        self._for_paho += packet
        while self._for_paho and self._wire.socket() is not None:
            self._wire.loop_read()

    def _give_to_paho(self, bufsize: int) -> bytes:
        """What paho calls to read its socket."""
        if not self._for_paho:
            if self._ended:
                return b""
            raise BlockingIOError
        given, self._for_paho = self._for_paho[:bufsize], self._for_paho[bufsize:]
        return given


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """Return the remaining length that begins at `at`, and where it ends; the end is 0 if it has not come whole, the
    length -1 if it is none, which is said once the byte has come that paho takes for one too many."""
    length = shift = 0
    for here in range(at, min(at + _LENGTH_MAX_BYTES, len(data))):
        byte = data[here]
        length |= (byte & ~_MORE) << shift
        if byte < _MORE:
            return length, here + 1
        shift += 7
    return (-1, len(data)) if len(data) > at + _LENGTH_MAX_BYTES else (0, 0)


def _length(value: int) -> bytes:
    """The remaining length of a packet (MQTT 3.1.1 section 2.2.3)."""
    if value < _MORE:
        return bytes((value,))
    digits = bytearray()
    while value >= _MORE:
        digits.append(value % _MORE | _MORE)
        value //= _MORE
    digits.append(value)
    return bytes(digits)
