"""What was chosen is started, all at once; what cannot start is left out or ends the start."""

import asyncio
from dataclasses import replace
from typing import ClassVar, Self

import pytest

from gateway.audio import Pcm
from gateway.config import Settings
from gateway.engines.catalog import EngineSpec
from gateway.engines.choosing import Choice, EngineChoice, choose
from gateway.engines.registry import build
from gateway.errors import ConfigurationError, Stage
from tests.fakes.engines import ScriptedStt


class Recorder(ScriptedStt):
    """An engine for any stage that remembers its settings. Its classes remember their engines."""

    made: ClassVar[list["Recorder"]]

    def __init__(self, settings: Settings) -> None:
        super().__init__("recorder", [""])
        self.settings = settings

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        engine = cls(settings)
        Recorder.made.append(engine)
        return engine


class Refusing(Recorder):
    async def start(self) -> None:
        raise ConfigurationError("no such model")


class Hanging(Recorder):
    hangs: ClassVar[asyncio.Event]

    async def start(self) -> None:
        self.hangs.set()
        await asyncio.Event().wait()


class Meeting(Recorder):
    """Starts when six of its kind do."""

    together: ClassVar[asyncio.Barrier]

    async def start(self) -> None:
        await self.together.wait()


class Parting(Recorder):
    """Closes when six of its kind do."""

    together: ClassVar[asyncio.Barrier]

    async def close(self) -> None:
        await self.together.wait()


class Crashing(Recorder):
    async def start(self) -> None:
        raise ZeroDivisionError


@pytest.fixture(autouse=True)
def forget_the_engines_of_other_tests() -> None:
    Recorder.made = []


def one(stage: Stage, kind: type[Recorder] = Recorder, **choice: object) -> EngineChoice:
    spec = EngineSpec(stage, kind.__name__.lower(), f"{__name__}:{kind.__name__}")
    return EngineChoice(spec, f"{spec.name}, for the test", **choice)  # type: ignore[arg-type]


def choice_of(*stt: EngineChoice) -> Choice:
    return Choice(stt or (one(Stage.STT),), (one(Stage.LLM),), (one(Stage.TTS),))


async def test_the_engines_are_started_and_closed() -> None:
    engines = await build(choice_of(), Settings())
    assert [engine.started for engine in Recorder.made] == [True] * 3
    assert engines.lines == (
        "speech to text: recorder, for the test",
        "chat: recorder, for the test",
        "text to speech: recorder, for the test",
    )
    assert engines.notes == ()
    assert [(one.stage, one.state) for one in engines.health()] == [
        (Stage.STT, "ok"),
        (Stage.LLM, "ok"),
        (Stage.TTS, "ok"),
    ]
    await engines.close()
    assert [engine.closed for engine in Recorder.made] == [True] * 3


async def test_all_are_closed_at_the_same_time() -> None:
    Parting.together = asyncio.Barrier(6)
    stages = ((one(stage, Parting), one(stage, Parting)) for stage in (Stage.STT, Stage.LLM, Stage.TTS))
    engines = await build(Choice(*stages), Settings())
    async with asyncio.timeout(5):
        await engines.close()


async def test_an_engine_gets_the_settings_and_what_the_choice_changes() -> None:
    chosen = one(Stage.STT, settings={"stt_model": "small"})
    await build(choice_of(chosen), Settings(language="en", speech_cache_mb=3))
    speech, chat, _ = Recorder.made
    assert (speech.settings.stt_model, speech.settings.language) == ("small", "en")
    assert chat.settings.stt_model == ""


async def test_the_speech_cache_is_as_large_as_configured() -> None:
    engines = await build(choice_of(), Settings(speech_cache_mb=3))
    assert engines.tts.cache.max_bytes == 3 * 1024 * 1024


async def test_all_engines_start_at_the_same_time() -> None:
    Meeting.together = asyncio.Barrier(6)
    pairs = [(one(stage, Meeting), one(stage, Meeting)) for stage in (Stage.STT, Stage.LLM, Stage.TTS)]
    async with asyncio.timeout(5):
        await build(Choice(*pairs), Settings())


async def test_an_engine_that_was_asked_for_by_name_must_start() -> None:
    with pytest.raises(ConfigurationError, match="no such model"):
        await build(choice_of(one(Stage.STT), one(Stage.STT, Refusing, required=True)), Settings())
    assert [engine.closed for engine in Recorder.made if type(engine) is Recorder] == [True] * 3


async def test_one_that_auto_chose_is_left_out_if_it_does_not_start() -> None:
    engines = await build(choice_of(one(Stage.STT, Refusing, note="never seen"), one(Stage.STT)), Settings())
    assert [engine.name for engine in engines.stt.engines] == ["recorder"]
    assert engines.lines[0] == "speech to text: recorder, for the test"
    assert engines.notes == ("speech to text does without refusing, for the test: no such model",)


async def test_when_none_that_auto_chose_starts_the_start_fails() -> None:
    with pytest.raises(ConfigurationError, match="no such model"):
        await build(choice_of(one(Stage.STT, Refusing), one(Stage.STT, Refusing)), Settings())


async def test_something_may_stand_in_for_an_engine_that_does_not_start() -> None:
    stand_in = one(Stage.STT, note="This one is small.", settings={"stt_model": "miniature"})
    engines = await build(choice_of(one(Stage.STT, Refusing, otherwise=stand_in)), Settings())
    assert engines.lines[0] == "speech to text: recorder, for the test"
    assert engines.notes == (
        "This one is small.",
        "speech to text does without refusing, for the test: no such model",
    )
    assert "miniature" in [engine.settings.stt_model for engine in Recorder.made]


async def test_a_stand_in_is_not_started_without_need() -> None:
    await build(choice_of(one(Stage.STT, otherwise=one(Stage.STT, Refusing))), Settings())
    assert not any(isinstance(engine, Refusing) for engine in Recorder.made)


async def test_a_start_that_is_cancelled_leaves_nothing_running() -> None:
    Hanging.hangs = asyncio.Event()
    starting = asyncio.create_task(build(choice_of(one(Stage.STT, Hanging)), Settings()))
    await Hanging.hangs.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert [engine.closed for engine in Recorder.made if engine.started] == [True] * 2


async def test_a_defect_of_an_engine_is_not_hidden() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await build(choice_of(one(Stage.STT, Crashing)), Settings())
    assert caught.group_contains(ZeroDivisionError)


async def test_real_engines_offline() -> None:
    """pocketsphinx, the offline assistant and espeak: no model, no key, no network."""
    settings = Settings(stt="pocketsphinx", tts="espeak", llm="offline", language="en")
    engines = await build(await choose(settings, {}), settings)
    try:
        blocks: list[Pcm] = []
        async for block in engines.tts.speak("Good morning", "en", lambda *report: pytest.fail(str(report))):
            blocks.append(block)
        assert sum(block.seconds for block in blocks) > 0.5
    finally:
        await engines.close()


async def test_tools_that_do_not_start_are_left_out_unless_they_were_asked_for_by_name() -> None:
    engines = await build(replace(choice_of(), tools=(one(Stage.TOOLS, Refusing),)), Settings())
    assert engines.tools.toolboxes == ()
    assert [note for note in engines.notes if note.startswith("tools does without")]
    await engines.close()
    with pytest.raises(ConfigurationError):
        await build(replace(choice_of(), tools=(one(Stage.TOOLS, Refusing, required=True),)), Settings())
