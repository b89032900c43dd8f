"""What operators said of devices and of groups: kept apart from the conversations, which it outlives."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from peewee import Database

from gateway.errors import PersonalityLimitReached
from gateway.personality import UNSAID, Kept, Personality, recalled
from gateway.store.models import Conversation, PersonalityRow
from gateway.store.sql import ask
from gateway.values import DeviceAddress, DeviceId

_DEVICE, _GROUP = "device:", "group:"
_PAGE = 500


def device_target(device: DeviceId) -> str:
    return _DEVICE + device


def group_target(group: str) -> str:
    return _GROUP + group


def kept(db: Database, device: DeviceId, groups: Sequence[str]) -> Kept:
    """What is said of a device, and of the groups that it is in: those said of it, or else `groups`."""
    own = said(db, device_target(device))
    in_groups = groups if own.groups is None else own.groups
    of_groups = {group: found for group in in_groups if (found := said(db, group_target(group))) is not UNSAID}
    return Kept(own, of_groups)


def said(db: Database, target: str) -> Personality:
    """What is said of a device or of a group."""
    rows = ask(db, "SELECT CAST(said AS TEXT) FROM personalities WHERE target = ?", target)
    return _read(rows[0][0]) if rows else UNSAID


@lru_cache(maxsize=256)
def _read(said: str) -> Personality:
    """To read one anew takes longer than all else that a turn asks at its beginning, and they hardly ever change."""
    return recalled(json.loads(said))


def change(db: Database, target: str, changes: Mapping[str, Any], rows_max: int) -> Personality:
    """Say the values of `changes` of `target`, and no longer those that are None there; return what is said now.

    Raises:
        PersonalityLimitReached: it is a new one, and `rows_max` are kept.
    """
    of_target = PersonalityRow.target == target
    with db.atomic():
        # Written, not read: this locks the row, so that no other process changes it meanwhile.
        known = PersonalityRow.update(said=PersonalityRow.said).where(of_target).execute(db)
        before = said(db, target).said if known else {}
        now = {name: value for name, value in (before | dict(changes)).items() if value is not None}
        if known and not now:
            PersonalityRow.delete().where(of_target).execute(db)
        elif known:
            PersonalityRow.update(said=now).where(of_target).execute(db)
        elif now:
            if PersonalityRow.select().count(db) >= rows_max:
                raise PersonalityLimitReached(
                    f"{rows_max} devices and groups have a personality, and no more may: take one away first"
                )
            new = PersonalityRow.insert(target=target, said=now)
            new.on_conflict(conflict_target=[PersonalityRow.target], update={PersonalityRow.said: now}).execute(db)
    return recalled(now)


def members(db: Database, group: str, configured: Collection[DeviceId]) -> list[DeviceAddress]:
    """The devices of a group: those of which that is said, and of the `configured` ones those of which nothing else
    is."""
    found = set(configured)
    rows = PersonalityRow.select(PersonalityRow.target, PersonalityRow.said).tuples()
    for target, values in rows.where(PersonalityRow.target.startswith(_DEVICE)).execute(db):
        groups = values.get("groups")
        if groups is not None:
            device = DeviceId(target.removeprefix(_DEVICE))
            (found.add if group in groups else found.discard)(device)
    return addresses(db, sorted(found))


def everything(db: Database) -> dict[str, Personality]:
    """All that is said, by target."""
    rows = PersonalityRow.select().order_by(PersonalityRow.target).tuples().execute(db)
    return {target: recalled(values) for target, values in rows}


def addresses(db: Database, devices: Sequence[DeviceId]) -> list[DeviceAddress]:
    """How each of `devices` spells itself; of one that has no conversation nothing else is known than its id."""
    spelled: dict[str, str] = {}
    for page in _pages(devices):
        rows = Conversation.select(Conversation.session_id, Conversation.spelling)
        spelled |= dict(rows.where(Conversation.session_id.in_(page)).tuples().execute(db))
    return [DeviceAddress(device, spelled.get(device, device)) for device in devices]


def _pages(devices: Sequence[DeviceId]) -> Iterable[Sequence[DeviceId]]:
    return (devices[at : at + _PAGE] for at in range(0, len(devices), _PAGE))
