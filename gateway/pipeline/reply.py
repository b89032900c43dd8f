"""What the chat model is asked: the system prompt, the latest of the conversation, and the new question."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gateway.config import Settings
from gateway.engines.protocols import ChatRequest
from gateway.engines.toolboxes import Toolboxes
from gateway.engines.tools.protocol import ToolContext
from gateway.personality import Personality
from gateway.store import OpenConversation
from gateway.values import Message

LANGUAGE_NAMES = {
    "ca": "Catalan",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "eu": "Basque",
    "fr": "French",
    "gl": "Galician",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
}


REPLY_MAX_CHARS = 8000
"""Text of one reply that is read from a model: eight minutes of speech."""


def next_request(
    settings: Settings,
    conversation: OpenConversation | None,
    question: str,
    *,
    device: str,
    personality: Personality,
    language: str,
    now: datetime,
    toolboxes: Toolboxes,
) -> ChatRequest:
    """Return the request for `question`, which goes on with `conversation`, if there is one. `now` is local time. What
    `toolboxes` offer is done when the request's `tools` are told that they are allowed, and not before."""
    request = chat_request(
        personality.system_prompt or settings.system_prompt,
        conversation.history if conversation else (),
        question,
        window=settings.history_messages,
        device=device,
        name=personality.name or device,
        language=language,
        now=now,
    )
    context = ToolContext(device, personality.name or device, language, now)
    tools = toolboxes.for_turn(personality.tools, context)
    return replace(request, model=personality.model, max_tokens=personality.max_tokens, tools=tools)


def chat_request(
    template: str,
    history: Sequence[Message],
    question: str,
    *,
    window: int,
    device: str,
    name: str,
    language: str,
    now: datetime,
) -> ChatRequest:
    """Return the request for `question`: the filled-in system prompt, then the newest `window` messages of the
    conversation, the question included. `now` is local time."""
    system = template.format(
        device=device,
        name=name,
        language=LANGUAGE_NAMES.get(language, language),
        date=f"{now:%A} {now.date().isoformat()}",
        time=f"{now:%H:%M}",
    )
    earlier = tuple(history)[-(window - 1) :] if window > 1 else ()
    messages = (Message("system", system), *earlier, Message("user", question))
    return ChatRequest(messages, language, now)
