"""Conversations, messages, turns and cached answers in SQLite or PostgreSQL."""
