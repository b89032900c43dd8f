"""What the store hands out. Times are UTC and aware."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.personality import NOTHING_KEPT, Kept
from gateway.values import DeviceId, Message, Outcome, ReplyForm, Role


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One conversation, without what was said in it."""

    session_id: DeviceId
    spelling: str
    created_at: datetime
    updated_at: datetime
    message_count: int
    device_info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ErasedSession:
    """A conversation that was erased, or would be."""

    session_id: DeviceId
    spelling: str
    message_count: int
    last_activity: datetime


@dataclass(frozen=True, slots=True)
class Thinned:
    """A conversation that is too large to be erased in one go: its oldest `messages` are gone."""

    session_id: DeviceId
    messages: int


@dataclass(frozen=True, slots=True)
class Recollection:
    """What recent turns tell of a device: the newest of the gateway's own turn numbers, the form of its last reply,
    and the largest payload in bytes that it had sent; None where no turn tells."""

    number: int | None
    reply_form: ReplyForm | None
    largest_message: int | None


@dataclass(frozen=True, slots=True)
class OpenConversation:
    """What a turn is told of its conversation: the `epoch` to be written under, the newest messages, oldest first,
    the hashes of the questions whose answers are kept (see `input_hash`), and what operators said of the device."""

    epoch: int
    history: tuple[Message, ...] = ()
    answered: frozenset[str] = frozenset()
    kept: Kept = NOTHING_KEPT


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One line of a conversation and when its turn began."""

    role: Role
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer given before: its text, its MP3 `audio` at `rate` Hz, and the fingerprint of who was `asked`."""

    text: str
    audio: bytes
    rate: int
    bitrate_kbps: int
    asked: str = ""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How much is kept: for how long (0 or less: nothing), how many answers of one session, how many bytes in all."""

    ttl_s: float
    session_entries: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """A conversation that was active lately."""

    session_id: DeviceId
    last_activity: datetime
    message_count: int


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Figures over everything stored.

    `total_conversations` counts the sessions with at least one message. `active` holds the newest ten of
    `active_count`, the sessions of the last 24 hours. `turns`, `lost`, `duplicate` and `cache_hits` count since the
    database was made, erased sessions included; `turns_today` and `failed_today` since midnight where the gateway is.
    `latencies_ms` is the time to the first audio of the newest completed turns, newest first.
    """

    total_sessions: int
    total_conversations: int
    total_messages: int
    avg_messages_per_session: float
    last_activity: datetime | None
    active: tuple[ActiveSession, ...]
    active_count: int
    turns: Mapping[Outcome, int]
    turns_today: int
    failed_today: int
    lost: int
    duplicate: int
    cache_hits: int
    cache_entries: int
    latencies_ms: tuple[int, ...]
