"""What operators said of devices and groups is kept, found at the next turn, and outlives the conversation."""

from datetime import timedelta

import pytest

from gateway.errors import PersonalityLimitReached
from gateway.personality import NOTHING_KEPT, UNSAID, Kept, Personality
from gateway.store import Store, device_target, group_target
from gateway.store.database import parse_url
from gateway.store.models import PersonalityRow
from gateway.values import DeviceAddress
from tests.store.samples import HALL, KITCHEN, MANY, NOW, device, turn

OF_KITCHEN = device_target(KITCHEN.id)


async def kept_at_a_turn(store: Store, of: DeviceAddress, groups: tuple[str, ...] = ()) -> Kept:
    return (await store.begin_turn(of, MANY, NOW, messages=1, answers=1, groups=groups)).kept


async def test_what_is_said_adds_up_until_it_is_taken_back(store: Store) -> None:
    assert await store.change_personality(OF_KITCHEN, {"name": "Ana", "tools": ()}, MANY) == Personality(
        name="Ana", tools=()
    )
    changed = await store.change_personality(OF_KITCHEN, {"language": "en", "tools": None, "name": "Eva"}, MANY)
    assert changed == Personality(name="Eva", language="en") == await store.personality(OF_KITCHEN)
    assert await store.change_personality(OF_KITCHEN, {"name": None, "language": None}, MANY) == UNSAID
    assert await store.personality(OF_KITCHEN) == UNSAID
    assert await store.personalities() == {}


async def test_a_turn_is_told_what_is_said_of_its_device_and_its_groups(store: Store) -> None:
    await store.change_personality(OF_KITCHEN, {"groups": ("upstairs", "unheard")}, MANY)
    await store.change_personality(group_target("upstairs"), {"voice": "nova"}, MANY)
    await store.change_personality(group_target("downstairs"), {"voice": "alloy"}, MANY)
    own, upstairs = Personality(groups=("upstairs", "unheard")), Personality(voice="nova")
    assert await kept_at_a_turn(store, KITCHEN) == Kept(own, {"upstairs": upstairs})
    assert await kept_at_a_turn(store, KITCHEN, ("downstairs",)) == Kept(own, {"upstairs": upstairs})
    assert await kept_at_a_turn(store, HALL, ("downstairs",)) == Kept(
        UNSAID, {"downstairs": Personality(voice="alloy")}
    )
    assert await kept_at_a_turn(store, HALL) == NOTHING_KEPT == await store.kept(HALL.id)


async def test_it_outlives_the_conversation(store: Store) -> None:
    epoch = await store.open_session(KITCHEN, MANY, NOW)
    await store.record_turn(turn(), epoch)
    await store.change_personality(OF_KITCHEN, {"name": "Ana"}, MANY)
    await store.forget(KITCHEN.id)
    assert (await kept_at_a_turn(store, KITCHEN)).device == Personality(name="Ana")
    assert await store.cleanup(0, dry_run=False, now=NOW + timedelta(days=1))
    assert await store.session(KITCHEN.id) is None
    assert await store.personality(OF_KITCHEN) == Personality(name="Ana")


async def test_who_is_in_a_group_is_found_with_the_spelling_of_its_topics(store: Store) -> None:
    await store.open_session(KITCHEN, MANY, NOW)
    await store.change_personality(OF_KITCHEN, {"groups": ("all-day", "upstairs")}, MANY)
    await store.change_personality(device_target(HALL.id), {"name": "Hall"}, MANY)
    await store.change_personality(device_target(device("den").id), {"groups": ("cellar",)}, MANY)
    assert await store.members("upstairs") == [KITCHEN]
    configured = {HALL.id, device("den").id, device("attic").id}
    assert await store.members("upstairs", configured) == [KITCHEN, device("attic"), HALL]
    assert await store.members("nowhere") == []
    assert await store.addresses() == [KITCHEN]


async def test_no_more_are_kept_than_may_be(store: Store) -> None:
    for number in range(3):
        await store.change_personality(device_target(device(f"d{number}").id), {"name": "x"}, 3)
    with pytest.raises(PersonalityLimitReached, match="3 devices and groups have a personality"):
        await store.change_personality(group_target("more"), {"name": "x"}, 3)
    assert await store.change_personality(group_target("more"), {"name": None}, 3) == UNSAID
    await store.change_personality("device:d1", {"name": "y"}, 3)
    await store.change_personality("device:d2", {"name": None}, 3)
    await store.change_personality(group_target("more"), {"name": "x"}, 3)
    assert list(await store.personalities()) == ["device:d0", "device:d1", "group:more"]


async def test_what_another_version_kept_does_not_stop_a_turn(store: Store, url: str) -> None:
    db = parse_url(url, 5, create=True).open()
    said = {"name": "Ana", "mood": "good", "max_tokens": "many"}
    PersonalityRow.insert(target=OF_KITCHEN, said=said).execute(db)
    db.close()
    assert (await kept_at_a_turn(store, KITCHEN)).device == Personality(name="Ana")
