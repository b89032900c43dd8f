"""Questions in SQL, for what every turn asks: peewee takes longer to put one together than the database to answer."""

from typing import Any

from peewee import Database


def ask(db: Database, question: str, *values: str | int) -> list[tuple[Any, ...]]:
    """The rows that answer `question`, in which each ? stands for one of `values`; as the driver hands them over, not
    converted by a model."""
    rows: list[tuple[Any, ...]] = db.execute_sql(question.replace("?", db.param), values).fetchall()
    return rows
