"""Conversations, messages, turns and cached answers in SQLite or PostgreSQL."""

from gateway.store.records import (
    ActiveSession,
    CachedAnswer,
    CacheLimits,
    ErasedSession,
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
    "Recollection",
    "SessionSummary",
    "Store",
    "StoreStatistics",
    "StoredMessage",
]
