"""One announcement through the running gateway, and what becomes of it: what `voice-gateway say` does."""

import asyncio
import json
import secrets
from typing import Any

from gateway.broker.mqtt import MqttBroker
from gateway.broker.protocol import Incoming, Subscription
from gateway.cli.broker import client_url, with_advice
from gateway.config import Settings
from gateway.errors import BrokerUnavailable, GatewayError
from gateway.values import AnnouncementStatus
from gateway.wire.topics import Leaf, Topics

SPOKEN_S = 120.0
"""Longest speaking that is waited for, after all the time that the announcement may wait to be begun."""

_NOT_YET = (AnnouncementStatus.QUEUED, AnnouncementStatus.STARTED)


class _Heard:
    """What has come back for the announcement called `name`."""

    def __init__(self, name: str, response_topic: str) -> None:
        self._name = name
        self._response_topic = response_topic
        self.response: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.outcomes: dict[str, dict[str, str]] = {}
        self.came = asyncio.Event()

    def receive(self, incoming: Incoming) -> None:
        try:
            body = json.loads(incoming.payload)
        except ValueError:
            return
        if not isinstance(body, dict):
            return
        if incoming.topic == self._response_topic:
            if body.get("transaction") == self._name and not self.response.done():
                self.response.set_result(body)
        elif body.get("event") == "announcement" and body.get("id") == self._name:
            outcome = {"status": str(body.get("status")), "reason": str(body.get("reason", ""))}
            if outcome["status"] not in _NOT_YET:
                self.outcomes[str(body.get("session_id"))] = outcome
                self.came.set()


async def announce(
    settings: Settings, verb: str, body: dict[str, Any], *, timeout_s: float, wait: bool
) -> dict[str, Any]:
    """Ask for the announcement `body` by the request `verb`; return the answer's data, and with `wait` its `outcomes`
    by device: `status` and `reason`.

    Raises:
        BrokerUnavailable: there is no way to the broker.
        GatewayError: the gateway refuses, or does not answer within `timeout_s`.
    """
    topics = Topics(settings.root_topic)
    name = secrets.token_hex(6)
    heard = _Heard(name, topics.response(verb))
    subscriptions = [Subscription(topics.response(verb), 1)]
    if wait:
        subscriptions.append(Subscription(topics.every_device(Leaf.EVENT)))
    broker = MqttBroker(
        client_url(settings), receive=heard.receive, subscriptions=subscriptions, ca_file=settings.mqtt_ca_file
    )
    async with broker:
        try:
            await broker.connected_once(timeout_s)
        except BrokerUnavailable as error:
            raise with_advice(error) from error
        request = json.dumps({**body, "id": name, "transaction": name}, ensure_ascii=False).encode(errors="replace")
        await broker.publish(topics.request(verb), request, qos=1)
        try:
            async with asyncio.timeout(timeout_s):
                response = await heard.response
        except TimeoutError:
            raise GatewayError(
                f"no gateway answered within {timeout_s:g} s: see voice-gateway health. Of the broker's logins only"
                " operator may ask this and read the answer"
            ) from None
        if response["status"] != "ok":
            raise GatewayError(str(response["error"]))
        data: dict[str, Any] = response["data"]
        if wait:
            data["outcomes"] = await _outcomes(heard, data["devices"], data["ttl_s"] + SPOKEN_S)
        return data


async def _outcomes(heard: _Heard, devices: list[str], within_s: float) -> dict[str, dict[str, str]]:
    try:
        async with asyncio.timeout(within_s):
            while not heard.outcomes.keys() >= set(devices):
                heard.came.clear()
                await heard.came.wait()
    except TimeoutError:
        pass
    unknown = {"status": "unknown", "reason": f"nothing was told of it within {within_s:g} s"}
    return {device: heard.outcomes.get(device, unknown) for device in devices}
