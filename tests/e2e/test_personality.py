"""Who answers on a device: what operators say of it holds from its next turn on, whoever says it and wherever."""

from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import database_url
from gateway.device import Ended, Exchange, SoftwareDevice
from gateway.store import Store, device_target
from gateway.values import parse_device_id
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import spoken
from tests.fakes.http_server import Request
from tests.fakes.openai_server import Answer, Audio, OpenAIServer, Status, tone

EMBEDDED = "embedded://127.0.0.1:0"
PATIENCE_S = 20
BUTLER = {"system_prompt": "You are {name}, a butler. Speak {language}.", "voice": "nova"}


async def answered(exchange: Exchange) -> Any:
    """How the turn ended, once its reply has."""
    assert (await exchange.reply(PATIENCE_S)).ended is Ended.END
    return await exchange.done(PATIENCE_S)


async def ask(device: SoftwareDevice, text: str = "Who are you?") -> Any:
    return await answered(await device.ask(text))


def prompt(request: Request) -> str:
    return str(request.json["messages"][0]["content"])


def asked_last(provider: OpenAIServer) -> dict[str, Any]:
    """What the servers were asked last: by whom, how and in which voice."""
    chat, speech = provider.chat.requests[-1].json, provider.speech.requests[-1].json
    return {"model": chat["model"], "max_tokens": chat["max_tokens"], "voice": speech["voice"]}


async def said_by_another_process(gateway: Gateway, device: str, **changes: Any) -> None:
    store = Store(database_url(gateway.settings))
    await store.start()
    await store.change_personality(device_target(parse_device_id(device)), changes, 100)
    await store.close()


async def test_what_is_said_of_a_device_holds_at_its_next_turn_and_of_no_other(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, system_prompt="You are {name}.", llm_max_tokens=100)
    device, other = await start_device(gateway, "A4:CF:12:8B:3F:9E"), await start_device(gateway, "hall")
    own = {"model": "gpt-4o-mini", "max_tokens": 100, "voice": "alloy"}
    await ask(device, "First?")
    assert (prompt(provider.chat.requests[-1]), asked_last(provider)) == ("You are a4cf128b3f9e.", own)

    async with Onlooker(gateway.broker_url) as onlooker:
        answer = await onlooker.request(
            "set", session_id="a4cf128b3f9e", name="Ana", language="fr", model="big", max_tokens=40, **BUTLER
        )
        assert answer["status"] == "ok"
        await answered(await device.speak(spoken(2), paced=False))
        assert prompt(provider.chat.requests[-1]) == "You are Ana, a butler. Speak French."
        assert asked_last(provider) == {"model": "big", "max_tokens": 40, "voice": "nova"}
        assert provider.transcriptions.requests[-1].fields["language"] == "fr"
        # The conversation goes on.
        messages = provider.chat.requests[-1].json["messages"]
        assert [message["content"] for message in messages[1:]] == ["First?", "Answer to First?.", "question 2"]
        await answered(await device.say("Dinner."))
        assert provider.speech.requests[-1].json["voice"] == "nova"
        await ask(other)
        assert (prompt(provider.chat.requests[-1]), asked_last(provider)) == ("You are hall.", own)

        await onlooker.request("set", session_id="a4cf128b3f9e", model=None, max_tokens=None, voice=None, language=None)
        await ask(device)
        assert (prompt(provider.chat.requests[-1]), asked_last(provider)) == (
            "You are Ana, a butler. Speak English.",
            own,
        )


async def test_what_another_process_says_holds_as_soon(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, system_prompt="You are {name}.")
    device = await start_device(gateway, "kitchen")
    await ask(device, "One?")
    await said_by_another_process(gateway, "kitchen", name="Ana")
    await ask(device, "Two?")
    await said_by_another_process(gateway, "kitchen", name=None)
    await ask(device, "Three?")
    assert [prompt(request) for request in provider.chat.requests] == [
        "You are kitchen.",
        "You are Ana.",
        "You are kitchen.",
    ]


async def test_the_operators_word_for_the_device_then_hello_then_its_groups_then_the_settings(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(
        mqtt_url=EMBEDDED,
        system_prompt="You are {name}. Speak {language}.",
        personas={"butler": {"model": "butler's", "max_tokens": 7}},
        groups={"upstairs": {"name": "Up", "language": "pt", "persona": "butler", "model": "upstairs"}},
        devices={"kitchen": {"groups": ["upstairs"]}},
    )
    device = await start_device(gateway, "kitchen", hello={"v": 1, "language": "de"})
    async with Onlooker(gateway.broker_url) as onlooker:
        await onlooker.message("voice/kitchen/hello")
        await ask(device, "One?")
        assert prompt(provider.chat.requests[-1]) == "You are Up. Speak German."
        assert asked_last(provider) == {"model": "upstairs", "max_tokens": 7, "voice": "alloy"}

        await onlooker.request("set", group="upstairs", name="Attic", voice="nova")
        await onlooker.request("set", session_id="kitchen", language="it")
        shown = (await onlooker.request("settings", session_id="kitchen"))["data"]
        assert (shown["said"], shown["configured"]) == ({"language": "it"}, {"groups": ["upstairs"]})
        assert shown["effective"]["language"] == {"value": "it", "from": "device"}
        assert shown["effective"]["max_tokens"] == {"value": 7, "from": "persona butler"}
        assert shown["effective"]["name"] == {"value": "Attic", "from": "group upstairs"}
        assert shown["effective"]["system_prompt"]["from"] == "settings"
        await ask(device, "Two?")
        assert prompt(provider.chat.requests[-1]) == "You are Attic. Speak Italian."
        assert asked_last(provider)["voice"] == "nova"


async def test_a_repeated_question_is_answered_anew_by_somebody_else_only(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway, "kitchen")
    assert (await ask(device, "What is a cat?"))["cached"] is False
    await said_by_another_process(gateway, "kitchen", voice="nova")
    assert (await ask(device, "What is a cat?"))["cached"] is False
    assert (await ask(device, "What is a cat?"))["cached"] is True
    await said_by_another_process(gateway, "kitchen", voice=None, groups=["upstairs"])
    assert (await ask(device, "What is a cat?"))["cached"] is True
    assert len(provider.chat.requests) == 2


async def test_to_forget_erases_what_was_said_and_not_who_answers(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, devices={"kitchen": {"system_prompt": "You are {name}."}})
    device = await start_device(gateway, "kitchen")
    await said_by_another_process(gateway, "kitchen", name="Ana")
    await ask(device, "One?")
    async with Onlooker(gateway.broker_url) as onlooker:
        assert (await onlooker.request("forget", session_id="kitchen"))["status"] == "ok"
        assert (await onlooker.request("settings", session_id="kitchen"))["data"]["said"] == {"name": "Ana"}
    await ask(device, "Two?")
    assert [message["content"] for message in provider.chat.requests[-1].json["messages"]] == ["You are Ana.", "Two?"]


async def test_a_model_or_a_voice_that_is_not_there_costs_nobody_the_answer(
    provider: OpenAIServer, start_gateway: StartGateway, start_device: StartDevice
) -> None:
    def by_model(request: Request) -> Answer:
        return Status(404, message="no such model") if request.json["model"] == "gone" else "Here I am."

    def by_voice(request: Request) -> Answer:
        return (
            Status(404, message="no such voice") if request.json["voice"] == "gone" else Audio(tone(0.5), "audio/pcm")
        )

    provider.chat.answer, provider.speech.answer = by_model, by_voice
    gateway = await start_gateway(mqtt_url=EMBEDDED, devices={"kitchen": {"model": "gone", "voice": "openai:gone"}})
    device, other = await start_device(gateway, "kitchen"), await start_device(gateway, "hall")
    done = await ask(device)
    assert (done["outcome"], done["reply"]) == ("completed", "Here I am.")
    assert asked_last(provider)["voice"] == "alloy"
    passed_over = [event for event in device.events if event["event"] == "engine_passed_over"]
    assert {(event["stage"], event["rest_s"]) for event in passed_over} == {("llm", 0), ("tts", 0)}
    # For everybody else the engines are well.
    async with Onlooker(gateway.broker_url) as onlooker:
        assert (await ask(other))["outcome"] == "completed"
        engines = (await onlooker.statistics())["engines"]
        assert {(engine["resting_s"], engine["failing"]) for engine in engines} == {(0, False)}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, 'set needs {"session_id": "…"} or {"group": "…"}'),
        ({"session_id": "kitchen", "group": "upstairs"}, "set needs"),
        ({"session_id": "kitchen"}, "nothing is to be changed; there are: name, persona, groups"),
        ({"session_id": "kit chen", "name": "Ana"}, "a device id is 1 to 64 characters"),
        ({"group": "all", "name": "Ana"}, "'all' is no group"),
        ({"group": "upstairs", "groups": ["attic"]}, "a group is not in groups itself"),
        ({"session_id": "kitchen", "nme": "Ana"}, "nme: there is no such value; there are: name, persona"),
        ({"session_id": "kitchen", "quiet": "at night"}, "quiet is 'at night': 'at night' are no hours of quiet"),
        ({"session_id": "kitchen", "persona": "pirate"}, "there is no persona 'pirate'; there are: butler"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_changed(
    provider: OpenAIServer, start_gateway: StartGateway, body: dict[str, Any], said: str
) -> None:
    gateway = await start_gateway(mqtt_url=EMBEDDED, personas={"butler": {"voice": "nova"}})
    async with Onlooker(gateway.broker_url) as onlooker:
        answer = await onlooker.request("set", **body)
        assert answer["status"] == "error"
        assert said in answer["error"]
        shown = await onlooker.request("settings", session_id="kitchen")
        assert shown["data"]["said"] == {}
