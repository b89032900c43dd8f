"""The results as one page to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import table

Document = dict[str, Any]
"""One benchmark's JSON file, see `documents.py`."""


def page(documents: Sequence[Document]) -> str:
    """Everything that was measured, in Markdown that reads well unrendered; the goals first."""
    parts = ["# What the gateway costs", _where(documents)]
    if goals := _goals(documents):
        parts.append(goals)
    for document in documents:
        parts += [f"## {document['title']} (`{document['name']}`)", _when(document)]
        parts.append(document.get("section") or f"Nothing was measured: {document['error']}")
    return "\n\n".join(parts) + "\n"


def _where(documents: Sequence[Document]) -> str:
    machines = list(dict.fromkeys(_machine(document["machine"]) for document in documents))
    return "\n".join(f"Machine: {machine}." for machine in machines)


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"


def _when(document: Document) -> str:
    load = document["load"]
    much = "quick: little was measured, " if document["quick"] else ""
    return (
        f"{document['when']}, {much}{document['seconds']:.0f} s; gateway {document['version']}, broker"
        f" {document['broker']}; load average {load['before']} before, {load['after']} after."
    )


def _goals(documents: Sequence[Document]) -> str:
    rows = [
        ("met" if goal["met"] else "NOT met", document["name"], goal["text"])
        for document in documents
        for goal in document.get("goals", ())
    ]
    if not rows:
        return ""
    parts = ["## Goals", table(("", "benchmark", "goal: measured"), rows)]
    if quick := [document["name"] for document in documents if document["quick"] and document.get("goals")]:
        parts.append(f"Measured with `--quick`, which says little: {', '.join(quick)}.")
    return "\n\n".join(parts)
