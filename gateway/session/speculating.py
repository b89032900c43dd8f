"""When one device's speech pauses: whether to work ahead, and what becomes of it."""

from gateway.engines.protocols import ChatRequest
from gateway.pipeline.reply import next_request
from gateway.pipeline.speculation import Speculation, SpeculationCounts
from gateway.pipeline.turn_request import FALLBACK_LANGUAGE, TurnServices, wanted_language
from gateway.session.admission import Opening
from gateway.session.profile import Profile
from gateway.store import input_hash
from gateway.values import Transcript, Utterance

SPECULATIONS_MAX = 3
"""In one utterance. Who pauses more often is thinking aloud."""


def listens_for_pauses(services: TurnServices) -> bool:
    """Whether there is anything to do in a pause: with `auto`, some recogniser must run on this machine."""
    setting = services.settings.speculation
    return setting != "off" and (setting != "auto" or any(engine.local for engine in services.engines.stt.engines))


class Speculating:
    """At most one speculation at a time."""

    def __init__(self, services: TurnServices, profile: Profile, counts: SpeculationCounts) -> None:
        self._services = services
        self._profile = profile
        self._counts = counts
        self._current: Speculation | None = None
        self._left = 0

    def open_utterance(self) -> None:
        """An utterance has begun; what was said before is over."""
        self.drop()
        self._left = SPECULATIONS_MAX

    def begin(self, utterance: Utterance, opening: Opening) -> None:
        """Speech pauses, and `utterance` is what has been said: work ahead, unless something else is being recognised
        that would have to wait for it."""
        services = self._services
        self.drop()
        if self._left == 0 or opening.is_refused:
            return
        if services.settings.speculation == "auto" and not services.engines.stt.local:
            return
        # One recogniser stays free for those that have said all, where there is more than one.
        if services.engines.stt.working >= max(1, services.settings.stt_workers - 1):
            self._counts.skipped += 1
            return
        self._left -= 1
        asking = _Asking(services, self._profile, opening)
        question = asking.question if services.settings.speculation == "answer" else None
        name = self._profile.address.id
        self._current = Speculation(
            services.settings, services.engines, self._counts, utterance, asking.language, question, name
        )

    def take(self) -> Speculation | None:
        """The pause was the end: hand over what was begun in it, for the turn to use and to drop."""
        current, self._current = self._current, None
        return current

    def drop(self) -> None:
        """It was not, or nobody wants it any more."""
        if self._current is not None:
            self._current.drop()
            self._current = None


class _Asking:
    """What is asked ahead of time for one utterance: the same, of the same assistant, as the turn will ask."""

    def __init__(self, services: TurnServices, profile: Profile, opening: Opening) -> None:
        self._services = services
        self._profile = profile
        self._opening = opening

    async def language(self) -> str | None:
        personality = self._profile.personality(await self._opening.admitted())
        return wanted_language(self._services.settings, personality.language)

    async def question(self, heard: Transcript) -> ChatRequest | None:
        services = self._services
        admitted = await self._opening.admitted()
        personality, conversation = self._profile.personality(admitted), admitted.conversation
        text = heard.text.strip()
        spoken = wanted_language(services.settings, personality.language) or heard.language or FALLBACK_LANGUAGE
        kept = conversation.answered if conversation is not None else frozenset()
        if kept and input_hash(text, spoken, personality.fingerprint) in kept:
            return None
        return next_request(
            services.settings,
            conversation,
            text,
            device=self._profile.address.id,
            personality=personality,
            language=spoken,
            now=services.now(),
            toolboxes=services.engines.tools,
        )
