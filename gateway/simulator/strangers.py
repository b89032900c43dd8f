"""Tells what reached a device and was not for it. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence

from gateway.device.exchange import Event, first_event
from gateway.simulator.plan import Plan, index_of, name_of

_TEXT_OF = {"transcript": "text", "sentence": "text", "done": "reply"}
"""Where events hold what was heard and said."""
TOLD_AT_MOST = 5
"""Strange things told of one answer."""


class Strangers:
    """Knows device `index` of `plan`, and by its turns, its session and its name, each of the others."""

    def __init__(self, plan: Plan, index: int) -> None:
        self._plan = plan
        self._session = plan.spelling(index)
        self._index = index

    def among(self, events: Iterable[Event], unknown_turns: Sequence[int], stray_messages: int) -> tuple[str, ...]:
        """What of this was for nobody here: the device's `events`, frames of turns that it never began, and messages
        that belong to none of its questions."""
        found = [
            f"a frame of turn {turn:#06x}, {self._plan.owner_of(turn) or 'which nobody began'}"
            for turn in unknown_turns
        ]
        if stray_messages:
            found.append(f"{stray_messages} messages that answer nothing")
        for event in events:
            session = event.get("session_id")
            if session not in (None, self._session):
                found.append(f"an event of {session}")
            found += [f"the name of {other}" for other in self._others_named_in(event)]
        return tuple(dict.fromkeys(found))[:TOLD_AT_MOST]

    def of_memory(self, events: Sequence[Event]) -> tuple[str, ...]:
        """What is wrong with an answer, in `events`, that ought to say the name that this device told."""
        done = first_event(events, "done", {})
        said = "" if done is None else str(done.get("reply"))
        name = name_of(self._index)
        if done is None or name.lower() in said.lower():
            return ()
        return (f"it told that its name is {name}; asked for it, it hears “{said}”",)

    def _others_named_in(self, event: Event) -> Iterator[str]:
        text = str(event.get(_TEXT_OF.get(str(event.get("event")), ""), ""))
        for word in re.findall(r"\w+", text):
            index = index_of(word)
            if index is not None and index != self._index and index < self._plan.devices:
                yield self._plan.spelling(index)
