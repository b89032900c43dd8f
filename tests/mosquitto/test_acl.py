"""What each login may publish and read on the broker that we ship, seen from what arrives: what Mosquitto refuses it
acknowledges all the same."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.broker.protocol import Incoming
from tests.conformance.broker import TIMEOUT_S, Inbox, connected
from tests.mosquitto.shipped import LOCAL_PORT, PASSWORDS, SHIPPED, ShippedBroker

LEAVES = ("in", "out", "hello", "control", "say", "ask", "event", "state", "online")
KITCHEN = {f"voice/kitchen/{leaf}" for leaf in LEAVES}
HALL = {f"voice/hall/{leaf}" for leaf in LEAVES}
ASKED_BY_HOME_ASSISTANT = {f"voice/gateway/request/{verb}" for verb in ("say", "ask", "set", "discover", "cleanup")}
REQUESTS = {"voice/gateway/request/stats", "voice/gateway/request/forget", *ASKED_BY_HOME_ASSISTANT}
OF_THE_GATEWAY = {"voice/gateway/status", "voice/gateway/stats", "voice/gateway/response/stats"} | REQUESTS
DISCOVERY = "homeassistant/sensor/kitchen/config"
INTRODUCTION = "homeassistant/sensor/voice-gateway/kitchen-state/config"
BIRTH = "homeassistant/status"
BROKERS_OWN = "$SYS/broker/version"
VOICE = KITCHEN | HALL | OF_THE_GATEWAY
EVERYTHING = sorted(VOICE | {DISCOVERY, INTRODUCTION, BIRTH, "elsewhere"})


def of_both(*leaves: str) -> set[str]:
    """Those leaves of both devices."""
    return {f"voice/{device}/{leaf}" for device in ("kitchen", "hall") for leaf in leaves}


READS = {
    "gateway": VOICE | {INTRODUCTION, BIRTH},
    "homeassistant": of_both("event", "state", "online", "hello")
    | {"voice/gateway/status", "voice/gateway/stats", DISCOVERY, INTRODUCTION, BIRTH},
    "operator": VOICE,
    "kitchen": {"voice/kitchen/out", "voice/kitchen/event", "voice/kitchen/state"},
}
WRITES = {
    "gateway": VOICE | {DISCOVERY, INTRODUCTION, BIRTH},
    "homeassistant": of_both("say", "ask", "control") | ASKED_BY_HOME_ASSISTANT | {DISCOVERY, INTRODUCTION, BIRTH},
    "operator": of_both("say", "ask", "control") | REQUESTS,
    "kitchen": {"voice/kitchen/in", "voice/kitchen/hello", "voice/kitchen/control", "voice/kitchen/online"},
}

LOST_WITHOUT = {
    ("user gateway", ""): ("gateway", "writes", "voice/hall/out"),
    ("user gateway", "topic readwrite voice/#"): ("gateway", "reads", "voice/hall/in"),
    ("user gateway", "topic write homeassistant/#"): ("gateway", "writes", DISCOVERY),
    ("user gateway", "topic read homeassistant/status"): ("gateway", "reads", BIRTH),
    ("user gateway", "topic read homeassistant/+/voice-gateway/+/config"): ("gateway", "reads", INTRODUCTION),
    ("user homeassistant", ""): ("homeassistant", "writes", "voice/hall/say"),
    ("user homeassistant", "topic read voice/+/event"): ("homeassistant", "reads", "voice/hall/event"),
    ("user homeassistant", "topic read voice/+/state"): ("homeassistant", "reads", "voice/hall/state"),
    ("user homeassistant", "topic read voice/+/online"): ("homeassistant", "reads", "voice/hall/online"),
    ("user homeassistant", "topic read voice/+/hello"): ("homeassistant", "reads", "voice/hall/hello"),
    ("user homeassistant", "topic read voice/gateway/status"): ("homeassistant", "reads", "voice/gateway/status"),
    ("user homeassistant", "topic read voice/gateway/stats"): ("homeassistant", "reads", "voice/gateway/stats"),
    ("user homeassistant", "topic write voice/+/say"): ("homeassistant", "writes", "voice/hall/say"),
    ("user homeassistant", "topic write voice/+/ask"): ("homeassistant", "writes", "voice/hall/ask"),
    ("user homeassistant", "topic write voice/+/control"): ("homeassistant", "writes", "voice/hall/control"),
    **{
        ("user homeassistant", f"topic write {topic}"): ("homeassistant", "writes", topic)
        for topic in sorted(ASKED_BY_HOME_ASSISTANT)
    },
    ("user homeassistant", "topic readwrite homeassistant/#"): ("homeassistant", "reads", DISCOVERY),
    ("user operator", ""): ("operator", "reads", "voice/hall/in"),
    ("user operator", "topic read voice/#"): ("operator", "reads", "voice/gateway/response/stats"),
    ("user operator", "topic write voice/gateway/request/+"): ("operator", "writes", "voice/gateway/request/stats"),
    ("user operator", "topic write voice/+/say"): ("operator", "writes", "voice/hall/say"),
    ("user operator", "topic write voice/+/ask"): ("operator", "writes", "voice/hall/ask"),
    ("user operator", "topic write voice/+/control"): ("operator", "writes", "voice/hall/control"),
    ("", "pattern write voice/%u/in"): ("kitchen", "writes", "voice/kitchen/in"),
    ("", "pattern write voice/%u/hello"): ("kitchen", "writes", "voice/kitchen/hello"),
    ("", "pattern write voice/%u/control"): ("kitchen", "writes", "voice/kitchen/control"),
    ("", "pattern write voice/%u/online"): ("kitchen", "writes", "voice/kitchen/online"),
    ("", "pattern read voice/%u/out"): ("kitchen", "reads", "voice/kitchen/out"),
    ("", "pattern read voice/%u/event"): ("kitchen", "reads", "voice/kitchen/event"),
    ("", "pattern read voice/%u/state"): ("kitchen", "reads", "voice/kitchen/state"),
}
"""For each rule, under the `user` line that it belongs to, something that is no longer possible without it."""


def rules() -> dict[int, tuple[str, str]]:
    """The rules of the file that we ship, by line number, as `LOST_WITHOUT` names them."""
    found, owner = {}, ""
    for number, line in enumerate(SHIPPED.joinpath("acl").read_text().splitlines()):
        if line.startswith("user "):
            owner = line
            found[number] = owner, ""
        elif line.startswith("pattern "):
            found[number] = "", line
        elif line and not line.startswith("#"):
            found[number] = owner, line
    return found


def watched(broker: ShippedBroker) -> None:
    """Add a login that sees and publishes everything, and a topic for each login that says that all has come."""
    broker.add_logins(PASSWORDS | {"witness": "w"})
    with broker.acl.open("a") as acl:
        acl.write("\nuser witness\ntopic readwrite #\npattern readwrite fence/%u\n")


async def until_fenced(inbox: Inbox, names: Iterable[str]) -> list[Incoming]:
    """Wait for the last message on each fence, and return all that came before, and with, the last of them."""
    wanted = {f"fence/{name}" for name in names}
    async with asyncio.timeout(TIMEOUT_S):
        while not wanted <= {message.topic for message in inbox.messages}:
            await inbox.has(len(inbox.messages) + 1)
    return [message for message in inbox.messages if not message.topic.startswith("fence/")]


async def reads(broker: ShippedBroker, names: Iterable[str]) -> dict[str, set[str]]:
    """The topics of which each login sees what somebody else publishes; it asks for all there are."""
    async with AsyncExitStack() as stack:
        inboxes = {name: Inbox() for name in names}
        for name, inbox in inboxes.items():
            link = connected(broker.ports[LOCAL_PORT], "#", "$SYS/#", receive=inbox, login=broker.login(name))
            await stack.enter_async_context(link)
        witness = await stack.enter_async_context(connected(broker.ports[LOCAL_PORT], login=("witness", "w")))
        for topic in [*EVERYTHING, *(f"fence/{name}" for name in inboxes)]:
            await witness.publish(topic, b"x", qos=1)
        return {
            name: {message.topic for message in await until_fenced(inbox, [name])} for name, inbox in inboxes.items()
        }


async def writes(broker: ShippedBroker, names: Iterable[str]) -> dict[str, set[str]]:
    """The topics on which somebody else sees what each login publishes."""
    names = list(names)
    async with AsyncExitStack() as stack:
        inbox = Inbox()
        await stack.enter_async_context(connected(broker.ports[LOCAL_PORT], "#", receive=inbox, login=("witness", "w")))
        for name in names:
            link = await stack.enter_async_context(connected(broker.ports[LOCAL_PORT], login=broker.login(name)))
            for topic in [*EVERYTHING, BROKERS_OWN, f"fence/{name}"]:
                await link.publish(topic, name.encode(), qos=1)
        came = await until_fenced(inbox, names)
    return {name: {message.topic for message in came if message.payload == name.encode()} for name in names}


async def test_each_login_reads_exactly_what_it_should(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path)
    watched(broker)
    async with broker:
        assert await reads(broker, READS) == READS


async def test_each_login_writes_exactly_what_it_should(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path)
    watched(broker)
    async with broker:
        assert await writes(broker, WRITES) == WRITES


@pytest.mark.parametrize("number", rules(), ids=lambda number: " ".join(filter(None, rules()[number])))
async def test_each_rule_is_needed(tmp_path: Path, number: int) -> None:
    name, verb, topic = LOST_WITHOUT[rules()[number]]
    broker = ShippedBroker(tmp_path)
    lines = broker.acl.read_text().splitlines(keepends=True)
    del lines[number]
    broker.acl.write_text("".join(lines))
    watched(broker)
    async with broker:
        found = await (reads if verb == "reads" else writes)(broker, [name])
    assert topic in (READS if verb == "reads" else WRITES)[name]
    assert topic not in found[name]


async def test_what_is_retained_is_no_way_around(tmp_path: Path) -> None:
    broker = ShippedBroker(tmp_path)
    watched(broker)
    async with broker:
        port = broker.ports[LOCAL_PORT]
        async with connected(port, login=broker.login("gateway")) as gateway:
            await gateway.publish("voice/hall/state", b"speaking", qos=1, retain=True)
            await gateway.publish("voice/kitchen/state", b"idle", qos=1, retain=True)
        inbox = Inbox()
        filters = ("voice/+/state", "voice/hall/state", "fence/kitchen")
        async with connected(port, *filters, receive=inbox, login=broker.login("kitchen")) as kitchen:
            await kitchen.publish("fence/kitchen", b"", qos=1)
            assert await until_fenced(inbox, ["kitchen"]) == [Incoming("voice/kitchen/state", b"idle", retained=True)]
