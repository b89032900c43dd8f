"""Makes and starts the engines that a run uses."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from gateway.config import Settings
from gateway.engines.catalog import STAGE_LABELS
from gateway.engines.chain import ChatChain, SttChain, TtsChain
from gateway.engines.choosing import Choice, EngineChoice, choose
from gateway.engines.circuit import EngineHealth
from gateway.engines.closing import close_all
from gateway.engines.toolboxes import Toolboxes
from gateway.errors import ConfigurationError, Stage

__all__ = ["Engines", "build", "choose"]


@dataclass(frozen=True, slots=True)
class Engines:
    """The started engines of every stage; `lines` say for people which and why, `notes` what is to be known."""

    stt: SttChain
    llm: ChatChain
    tts: TtsChain
    tools: Toolboxes = field(default_factory=Toolboxes)
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Somebody begins to speak: let the engines that will be asked prepare themselves, in the background."""
        for part in (self.stt, self.llm, self.tts, self.tools):
            part.prepare()

    def health(self) -> list[EngineHealth]:
        return [*self.stt.health(), *self.llm.health(), *self.tts.health()]

    async def close(self) -> None:
        """Close every engine, also when closing one of them fails."""
        await close_all(part.close() for part in (self.stt, self.llm, self.tts, self.tools))


@dataclass(frozen=True, slots=True)
class _Started:
    """What became of an engine that was chosen: itself or what stands in for it, or the error of both."""

    chosen: EngineChoice
    engine: Any = None
    error: ConfigurationError | None = None


async def build(choice: Choice, settings: Settings) -> Engines:
    """Make and start the engines of `choice`, all at the same time: a model loads while a connection opens.

    An engine that was asked for by name must start. One that `auto` chose is left out with a note if it does not,
    as long as another of its stage remains, or the stage can be empty: the tools.

    Raises:
        ConfigurationError: an engine cannot start; none is left running.
    """
    notes: list[str] = []
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            starting = [
                [
                    group.create_task(_start(chosen, settings, stack, notes), name=f"start {chosen.spec.name}")
                    for chosen in stage
                ]
                for stage in (choice.stt, choice.llm, choice.tts, choice.tools)
            ]
        stt, llm, tts, tools = (_usable([task.result() for task in stage], notes) for stage in starting)
        used = Choice(*(tuple(one.chosen for one in stage) for stage in (stt, llm, tts, tools)))
        rest_s = settings.engine_rest_s
        engines = Engines(
            SttChain([one.engine for one in stt], timeout_s=settings.stt_timeout_s, rest_s=rest_s),
            ChatChain(
                [one.engine for one in llm],
                first_token_s=settings.llm_first_token_s,
                timeout_s=settings.llm_timeout_s,
                rest_s=rest_s,
            ),
            TtsChain(
                [one.engine for one in tts],
                timeout_s=settings.tts_timeout_s,
                rest_s=rest_s,
                cache_bytes=settings.speech_cache_mb * 1024 * 1024,
            ),
            Toolboxes([one.engine for one in tools], timeout_s=settings.tool_timeout_s),
            tuple(used.lines),
            (*used.notes, *notes),
        )
        stack.pop_all()
    return engines


async def _start(chosen: EngineChoice, settings: Settings, stack: AsyncExitStack, notes: list[str]) -> _Started:
    """Start an engine, which `stack` closes, or else what stands in for it."""
    try:
        engine = chosen.spec.load().from_settings(settings.model_copy(update=dict(chosen.settings)))
        await engine.start()
    except ConfigurationError as error:
        if chosen.otherwise is None:
            return _Started(chosen, error=error)
        notes.append(_left_out(chosen, error))
        return await _start(chosen.otherwise, settings, stack, notes)
    stack.push_async_callback(engine.close)
    return _Started(chosen, engine)


def _usable(stage: Sequence[_Started], notes: list[str]) -> list[_Started]:
    """The engines of a stage that started; what did not goes into `notes` if the stage can do without it."""
    usable = [one for one in stage if one.error is None]
    for one in stage:
        if one.error is not None:
            if one.chosen.required or not (usable or one.chosen.spec.stage is Stage.TOOLS):
                raise one.error
            notes.append(_left_out(one.chosen, one.error))
    return usable


def _left_out(chosen: EngineChoice, error: ConfigurationError) -> str:
    return f"{STAGE_LABELS[chosen.spec.stage]} does without {chosen.why}: {error}"
