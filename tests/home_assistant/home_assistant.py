"""A real Home Assistant, a process of its own with little more than its MQTT integration, driven over its own API."""

import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import pytest
import websockets

from tests.fakes.mosquitto import free_port

VERSIONS = ("2024.3", "2025.4")
FOLDER = Path(__file__).parents[2] / ".home-assistant"
START_S = 200.0
PATIENCE_S = 60.0
END_S = 20.0
POLL_S = 0.1

CONFIGURATION = """
http:
  server_host: 127.0.0.1
  server_port: {port}
logger:
  default: warning
input_boolean:
  front_door:
    name: Front door
automation: !include automations.yaml
"""

State = dict[str, Any]


def program(version: str) -> Path:
    """The Home Assistant of this version; where it is not installed the test is skipped."""
    found = FOLDER / version / "bin" / "hass"
    if not found.exists():
        pytest.skip(f"Home Assistant {version} is not here: scripts/set-up-home-assistant.sh {version}")
    return found


class HomeAssistant:
    """`async with HomeAssistant(version, broker_port) as home:` runs one that is connected to the broker."""

    def __init__(self, version: str, broker_port: int, automations: str = "[]", configuration: str = "") -> None:
        """`automations` is what its automations.yaml holds, `configuration` more of its configuration.yaml."""
        self.version = version
        self._program = program(version)
        self._broker_port = broker_port
        self._automations = automations
        self._configuration = configuration
        self._folder = tempfile.TemporaryDirectory(prefix="home-assistant-")
        self._url = f"http://127.0.0.1:{free_port()}"
        self._client = httpx2.AsyncClient(base_url=self._url, timeout=PATIENCE_S, trust_env=False)
        self._process: asyncio.subprocess.Process
        self._entry = ""

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        port = self._url.rpartition(":")[2]
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=port) + self._configuration)
        (folder / "automations.yaml").write_text(self._automations)
        with (folder / "output.log").open("wb") as log:
            # It must ask the network for nothing: what it needs is installed, and it sees no proxy.
            environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
            command = (self._program, "--config", folder, "--skip-pip", "--log-no-color")
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment)
        try:
            await self._set_up()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def url(self) -> str:
        """Where its API is."""
        return self._url

    @property
    def token(self) -> str:
        """What its API wants."""
        return self._client.headers["Authorization"].removeprefix("Bearer ")

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (Path(self._folder.name) / "output.log").read_text()

    async def state(self, entity_id: str, holds: Callable[[State], bool] = lambda _: True) -> State:
        """Wait until an entity is there and its state is so; return it."""
        found: State | None = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    answer = await self._client.get(f"/api/states/{entity_id}")
                    found = answer.json() if answer.status_code == 200 else None
                    if found is not None and holds(found):
                        return found
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"{entity_id} is {found}\n{self.log[-3000:]}") from None

    async def becomes(self, entity_id: str, value: str) -> State:
        """Wait until an entity has this state."""
        return await self.state(entity_id, lambda state: state["state"] == value)

    async def gone(self, entity_ids: Sequence[str]) -> None:
        """Wait until there are no such entities."""
        async with asyncio.timeout(PATIENCE_S):
            while {state["entity_id"] for state in await self.states()} & {*entity_ids}:  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_S)

    async def states(self) -> list[State]:
        """Every entity there is."""
        return list((await self._client.get("/api/states")).json())

    async def call(self, service: str, **data: Any) -> None:
        """Call a service, such as `button.press`."""
        domain, _, name = service.partition(".")
        answer = await self._client.post(f"/api/services/{domain}/{name}", json=data)
        assert answer.status_code == 200, f"{service}: {answer.status_code} {answer.text}\n{self.log[-3000:]}"

    async def set_state(self, entity_id: str, value: str) -> None:
        """Let an entity that nothing here provides have this state."""
        answer = await self._client.post(f"/api/states/{entity_id}", json={"state": value})
        assert answer.status_code in (200, 201), answer.text

    async def notification(self, beginning: str) -> None:
        """Wait for a notification on the dashboard that begins so."""
        url = self._url.replace("http", "ws", 1) + "/api/websocket"
        shown: list[str] = []
        async with websockets.connect(url, proxy=None) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "auth", "access_token": self.token}))
            await socket.recv()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    for number in itertools.count(1):
                        await socket.send(json.dumps({"id": number, "type": "persistent_notification/get"}))
                        shown = [each["message"] for each in json.loads(await socket.recv())["result"]]
                        if any(message.startswith(beginning) for message in shown):
                            return
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                raise AssertionError(
                    f"there is no notification {beginning!r}, but {shown}\n{self.log[-3000:]}"
                ) from None

    async def render(self, template: str) -> str:
        """What a template says: for what the API has no other way to ask."""
        answer = await self._client.post("/api/template", json={"template": template})
        assert answer.status_code == 200, answer.text
        return answer.text

    async def reconnect(self) -> None:
        """Load the MQTT integration anew, which then says that it was born."""
        answer = await self._client.post(f"/api/config/config_entries/entry/{self._entry}/reload")
        assert answer.status_code == 200, answer.text

    async def _set_up(self) -> None:
        client_id = f"{self._url}/"
        async with asyncio.timeout(START_S):
            while not await self._answers():
                assert self._process.returncode is None, f"Home Assistant ended: {self.log}"
                await asyncio.sleep(POLL_S)
            user = {"client_id": client_id, "name": "Test", "username": "test", "password": "test test"}
            answer = await self._client.post("/api/onboarding/users", json={**user, "language": "en"})
            assert answer.status_code == 200, f"{answer.text}\n{self.log}"
            code = {"client_id": client_id, "grant_type": "authorization_code", "code": answer.json()["auth_code"]}
            token = (await self._client.post("/auth/token", data=code)).json()["access_token"]
            self._client.headers["Authorization"] = f"Bearer {token}"
            # Integrations can be added as soon as it has begun.
            while (await self._client.get("/api/config")).json()["state"] != "RUNNING":  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            flows = "/api/config/config_entries/flow"
            flow = (await self._client.post(flows, json={"handler": "mqtt"})).json()
            broker = {"broker": "127.0.0.1", "port": self._broker_port}
            made = (await self._client.post(f"{flows}/{flow['flow_id']}", json=broker)).json()
            assert made["type"] == "create_entry", f"{made}\n{self.log}"
            entries = (await self._client.get("/api/config/config_entries/entry")).json()
            self._entry = next(entry["entry_id"] for entry in entries if entry["domain"] == "mqtt")

    async def _answers(self) -> bool:
        try:
            return (await self._client.get("/api/onboarding")).status_code == 200
        except httpx2.TransportError:
            return False

    async def _end(self) -> None:
        await self._client.aclose()
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(END_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._folder.cleanup()
