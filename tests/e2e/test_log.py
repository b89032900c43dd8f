"""What the log tells, and what it keeps to itself."""

import logging

import pytest

from gateway.wire.topics import Leaf
from tests.conformance.openai_failures import KEY
from tests.e2e.asking import EMBEDDED, onlooker_asks
from tests.e2e.conftest import StartDevice, StartGateway
from tests.e2e.onlooker import Onlooker
from tests.e2e.speech import spoken
from tests.fakes.openai_server import OpenAIServer


@pytest.mark.parametrize("log_text", [False, True])
async def test_the_log_tells_each_step_with_session_and_turn_and_what_was_said_only_if_asked(
    provider: OpenAIServer,
    start_gateway: StartGateway,
    start_device: StartDevice,
    caplog: pytest.LogCaptureFixture,
    log_text: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.transcriptions.answer = "the cat is called Whiskers"
    provider.chat.answer = "What a lovely animal."
    gateway = await start_gateway(mqtt_url=EMBEDDED, log_text=log_text)
    device = await start_device(gateway, "kitchen")
    exchange = await device.speak(spoken(0), paced=False)
    await exchange.done(20)
    lines = [record for record in caplog.records if record.name == "gateway.turns" and hasattr(record, "fields")]
    told = [record.message for record in lines if record.fields.get("turn") == exchange.turn]
    assert [line for line in told if line != "speaking"] == ["listening", "thinking", "transcript", "sentence", "done"]
    assert "speaking" in told
    assert {record.fields["session"] for record in lines if "turn" in record.fields} == {"kitchen"}
    done = next(record.fields for record in lines if record.message == "done")
    assert done["outcome"] == "completed"
    assert done["total_ms"] >= done["first_audio_out_ms"] > 0
    private = "".join(f"{record.getMessage()} {record.fields}" for record in lines)
    assert ("Whiskers" in private) is log_text
    assert ("lovely animal" in private) is log_text
    assert KEY not in caplog.text + private
    if not log_text:
        gateways = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
        assert not any("Whiskers" in line or "lovely" in line for line in gateways)


async def test_a_device_cannot_forge_a_line_of_the_log(
    start_gateway: StartGateway, start_device: StartDevice, caplog: pytest.LogCaptureFixture
) -> None:
    from gateway.reports.logs import _HumanFormatter

    gateway = await start_gateway(mqtt_url=EMBEDDED)
    device = await start_device(gateway)
    await device.publish(Leaf.CONTROL, b'{"type":"dance\\n12:00:00 INFO done session=other"}')
    await device.event("error", 10, code="bad_json")
    async with Onlooker(gateway.broker_url) as onlooker:
        await onlooker_asks(onlooker, "dance", b"{}")
    formatter = _HumanFormatter()
    assert not any("\n" in formatter.format(record) for record in caplog.records)
