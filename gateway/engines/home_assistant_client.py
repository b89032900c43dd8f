"""Home Assistant's HTTP interface, as far as it is used here, and its errors as ours."""

import os
from collections.abc import Mapping
from typing import Any, Final

import httpx2

from gateway.config import Settings
from gateway.errors import ConfigurationError, ToolFailed

TOKEN_VARIABLE: Final = "HOME_ASSISTANT_TOKEN"  # noqa: S105
_TIMEOUT_S: Final = 10.0
"""For each part of an answer. A call has a limit of its own besides."""
_BODY_MAX: Final = 8 * 1024 * 1024
"""Bytes of an answer: the states of some ten thousand entities."""
_LONGEST_QUOTE: Final = 200


class HomeAssistantClient:
    """Asks one Home Assistant, with a long-lived access token."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    @property
    def server(self) -> str:
        """Host and port, for descriptions."""
        return self._http.base_url.netloc.decode().rpartition("@")[2]

    async def close(self) -> None:
        await self._http.aclose()

    async def connect_ahead(self) -> None:
        """Open a connection, to be used by the next request. That it fails is told nobody: so will the request."""
        try:
            await self._http.head("/", timeout=_TIMEOUT_S)
        except (httpx2.HTTPError, OSError):
            return

    async def check(self) -> None:
        """Whether it is there and takes the token.

        Raises:
            ToolFailed: not; the message says what to do.
        """
        await self._ask("GET", "/api/")

    async def states(self) -> list[dict[str, Any]]:
        """The state of every entity: `entity_id`, `state`, `attributes`, …

        Raises:
            ToolFailed: it cannot be asked.
        """
        found = await self._ask("GET", "/api/states")
        if not isinstance(found, list):
            raise ToolFailed(f"{self.server} answered something that is no list of states")
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("entity_id"), str)]

    async def call(self, domain: str, service: str, data: Mapping[str, Any], *, answers: bool = False) -> Any:
        """Call a service; return the states that changed, or, of a service that `answers`, what it said.

        Raises:
            ToolFailed: it cannot be asked, or the service refused.
        """
        path = f"/api/services/{domain}/{service}{'?return_response' if answers else ''}"
        found = await self._ask("POST", path, data)
        return found.get("service_response") if answers and isinstance(found, dict) else found

    async def converse(self, text: str, language: str, agent: str) -> tuple[bool, str]:
        """Let the conversation agent do what `text` says; return whether it understood, and what it answers.

        Raises:
            ToolFailed: it cannot be asked.
        """
        asked = {"text": text, "language": language, **({"agent_id": agent} if agent else {})}
        found = await self._ask("POST", "/api/conversation/process", asked)
        try:
            response = found["response"]
            speech = str(response["speech"]["plain"]["speech"]).strip()
            return response["response_type"] != "error", speech
        except (KeyError, TypeError) as error:
            raise ToolFailed(f"the conversation agent of {self.server} said nothing that can be spoken") from error

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            async with self._http.stream(method, path, json=body) as answer:
                data = bytearray()
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > _BODY_MAX:
                        raise ToolFailed(f"{self.server} answered more than {_BODY_MAX >> 20} MiB")
                if answer.status_code in (401, 403):
                    raise ToolFailed(
                        f"{self.server} refuses the token ({answer.status_code}): make a long-lived access token in"
                        f" your profile there, and put it into home_assistant_token_file or {TOKEN_VARIABLE}"
                    )
                if not answer.is_success:
                    said = " ".join(bytes(data[: 4 * _LONGEST_QUOTE]).decode(errors="replace").split())
                    raise ToolFailed(f"{self.server} answered {answer.status_code}: {said[:_LONGEST_QUOTE]}")
                return httpx2.Response(200, content=bytes(data)).json()
        except httpx2.TimeoutException as error:
            raise ToolFailed(f"Home Assistant at {self.server} does not answer in time") from error
        except (httpx2.HTTPError, OSError) as error:
            raise ToolFailed(f"Home Assistant at {self.server} cannot be reached: check home_assistant_url") from error
        except ValueError as error:
            raise ToolFailed(f"{self.server} answered something that is not Home Assistant's API") from error


def open_home_assistant(settings: Settings) -> HomeAssistantClient:
    """Make a client; it connects when it is asked something.

    Raises:
        ConfigurationError: the address or the token is missing or cannot be used.
    """
    url = settings.home_assistant_url
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("home_assistant_url must be an address such as http://homeassistant.local:8123")
    headers = {"Authorization": f"Bearer {_token(settings)}"}
    try:
        return HomeAssistantClient(httpx2.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_S))
    except (httpx2.InvalidURL, ValueError, ImportError) as error:
        raise ConfigurationError(
            f"home_assistant_url, or the proxy in the environment, cannot be used: {error}"
        ) from None


def _token(settings: Settings) -> str:
    file = settings.home_assistant_token_file
    try:
        token = file.read_text(encoding="utf-8") if file is not None else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read home_assistant_token_file {file}: {error}") from None
    token = token.strip()
    if not token:
        raise ConfigurationError(
            "Home Assistant wants a token: make a long-lived access token in your profile there, and put it into"
            f" home_assistant_token_file or {TOKEN_VARIABLE}"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError("the token of Home Assistant is one line of letters, digits and . _ -")
    return token
