"""Conversations, messages, turns and cached answers in SQLite or PostgreSQL."""

from gateway.store.cache import input_hash
from gateway.store.personalities import device_target, group_target
from gateway.store.records import (
    ActiveSession,
    CachedAnswer,
    CacheLimits,
    ErasedSession,
    OpenConversation,
    Recollection,
    SessionSummary,
    StoredMessage,
    StoreStatistics,
)
from gateway.store.store import Store

__all__ = [
    "ActiveSession",
    "CacheLimits",
    "CachedAnswer",
    "ErasedSession",
    "OpenConversation",
    "Recollection",
    "SessionSummary",
    "Store",
    "StoreStatistics",
    "StoredMessage",
    "device_target",
    "group_target",
    "input_hash",
]
