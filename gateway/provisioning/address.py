"""Where boards reach the broker, as far as that can be told from its folder and this machine."""

import contextlib
import re
import socket
from pathlib import Path

from cryptography import x509

from gateway.broker.url import BrokerKind, BrokerUrl, parse_broker_url
from gateway.errors import ConfigurationError

CONNECT_TIMEOUT_S = 1.0
"""Longest wait for this machine's own port."""
_LISTENER = re.compile(r"^listener (\d+)", re.MULTILINE)
_LISTENERS = (("tls.conf", BrokerKind.MQTTS), ("plain.conf", BrokerKind.MQTT))
"""The files of mosquitto/listeners that boards can use, the better first."""


def boards_broker(folder: Path, url: str) -> BrokerUrl | None:
    """The broker as boards reach it: `url` if given, else the listener that is switched on in `folder` for them, at the
    name its certificate is for, or at this machine's own address. None when no listener is switched on.

    Raises:
        ConfigurationError: the URL cannot be used by a board, or this machine has no address.
    """
    if url:
        parsed = parse_broker_url(url)
        if parsed.kind is BrokerKind.EMBEDDED or parsed.username is not None:
            raise ConfigurationError("boards_mqtt_url is mqtt://host:1884 or mqtts://host:8883, without a login")
        return parsed
    for name, kind in _LISTENERS:
        with contextlib.suppress(FileNotFoundError):
            found = _LISTENER.search((folder / "conf.d" / name).read_text())
            if found is not None:
                host = _certified_host(folder) if kind is BrokerKind.MQTTS else own_address()
                return BrokerUrl(kind, host, int(found[1]))
    return None


def is_listening(port: int) -> bool:
    """Whether something on this machine listens on `port`. Mosquitto opens a listener only when it starts."""
    try:
        with socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def own_address() -> str:
    """This machine's address in its network.

    Raises:
        ConfigurationError: it is in none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it asks which address would be used. The other end need not be there.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            raise ConfigurationError(
                "this machine's address cannot be told: say where boards reach the broker with"
                " --boards-mqtt-url mqtt://HOST:PORT"
            ) from None


def _certified_host(folder: Path) -> str:
    """The first name or address in the broker's certificate by which boards find it; they check that it is there.

    A board asks a name server only, which knows no name in `.local`: before such a one an address is taken.
    """
    certificate = x509.load_pem_x509_certificate((folder / "certs" / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [name for name in names.get_values_for_type(x509.DNSName) if name != "localhost"]
    addresses = [address for address in names.get_values_for_type(x509.IPAddress) if not address.is_loopback]
    usable = [name for name in hosts if not name.endswith(".local")]
    return str(next(iter([*usable, *addresses, *hosts]), None) or own_address())
