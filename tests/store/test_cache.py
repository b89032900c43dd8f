"""Answers given before, on every kind of database."""

from datetime import datetime, timedelta

import pytest

from gateway.errors import SessionLimitReached
from gateway.store import CachedAnswer, CacheLimits, Store, input_hash
from gateway.values import DeviceAddress
from tests.store.samples import HALL, KITCHEN, MANY, NOW, device, turn

ANSWER = CachedAnswer("Un gato es un felino.", bytes(range(256)), 24000, 48)
LIMITS = CacheLimits(ttl_s=600, session_entries=100, total_bytes=1_000_000)
QUESTION = "¿Qué es un gato?"


async def keep(
    store: Store,
    question: str = QUESTION,
    *,
    of: DeviceAddress = KITCHEN,
    answer: CachedAnswer = ANSWER,
    limits: CacheLimits = LIMITS,
    now: datetime = NOW,
) -> bool:
    epoch = await store.open_session(of, MANY, NOW)
    return await store.cache_answer(of.id, epoch, question, "es", answer, limits, now)


async def kept(store: Store, *questions: str, now: datetime = NOW) -> list[str]:
    """Those of `questions` that are answered from the cache."""
    return [q for q in questions if await store.cached_answer(KITCHEN.id, q, "es", MANY, now)]


@pytest.mark.parametrize("question", [QUESTION, "  qué es\tun GATO ", "Que\u0301 es un gato..."])
async def test_the_same_question_gets_the_same_answer(store: Store, question: str) -> None:
    assert await keep(store)
    assert await store.cached_answer(KITCHEN.id, question, "es", 600, NOW) == ANSWER


async def test_a_turn_begins_knowing_what_was_said_and_which_questions_are_answered(store: Store) -> None:
    first = await store.begin_turn(KITCHEN, MANY, NOW, messages=20, answers=100)
    assert (first.history, first.answered) == ((), frozenset())
    for number in range(3):
        await store.record_turn(turn(heard=f"q{number}", said=f"a{number}"), first.epoch)
    await keep(store)
    await keep(store, "other", of=HALL)
    begun = await store.begin_turn(KITCHEN, MANY, NOW, messages=3, answers=100)
    assert begun.epoch == first.epoch
    assert [message.text for message in begun.history] == ["a1", "q2", "a2"]
    assert begun.answered == {input_hash("qué es un gato", "es")}
    assert (await store.begin_turn(KITCHEN, MANY, NOW, messages=0, answers=0)).history == ()
    with pytest.raises(SessionLimitReached):
        await store.begin_turn(device("new"), 2, NOW, messages=1, answers=1)


async def test_another_device_language_or_word_does_not(store: Store) -> None:
    await keep(store)
    assert await store.cached_answer(HALL.id, QUESTION, "es", 600, NOW) is None
    assert await store.cached_answer(KITCHEN.id, QUESTION, "en", 600, NOW) is None
    assert await store.cached_answer(KITCHEN.id, "¿Que es un gato?", "es", 600, NOW) is None
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 600, NOW, "somebody else's") is None
    assert await store.cached_answer(KITCHEN.id, "¿Qué es ungato?", "es", 600, NOW) is None


async def test_it_ends_after_its_time_and_using_it_does_not_prolong_it(store: Store) -> None:
    await keep(store)
    almost = NOW + timedelta(seconds=599)
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 600, almost) == ANSWER
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 600, NOW + timedelta(seconds=600)) is None


@pytest.mark.parametrize("limits", [CacheLimits(0, 100, 1_000_000), CacheLimits(600, 100, 10)])
async def test_limits_without_room_keep_nothing(store: Store, limits: CacheLimits) -> None:
    assert not await keep(store, limits=limits)
    assert (await store.statistics(NOW)).cache_entries == 0


async def test_no_time_to_live_means_no_answer(store: Store) -> None:
    await keep(store)
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 0, NOW) is None
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 1e15, NOW) == ANSWER


async def test_a_newer_answer_takes_the_place_of_the_older(store: Store) -> None:
    await keep(store)
    newer = CachedAnswer("Un animal.", b"mp3", 16000, 32)
    await keep(store, answer=newer, now=NOW + timedelta(seconds=1))
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 600, NOW) == newer
    assert (await store.statistics(NOW)).cache_entries == 1


async def test_each_session_keeps_its_newest_used(store: Store) -> None:
    limits = CacheLimits(600, 3, 1_000_000)
    await keep(store, "other", of=HALL)
    for number, question in enumerate(("one", "two", "three")):
        await keep(store, question, limits=limits, now=NOW + timedelta(seconds=number))
    assert await kept(store, "one", now=NOW + timedelta(seconds=10))
    await keep(store, "four", limits=limits, now=NOW + timedelta(seconds=11))
    assert await kept(store, "one", "two", "three", "four", now=NOW + timedelta(seconds=12)) == ["one", "three", "four"]
    assert await store.cached_answer(HALL.id, "other", "es", 600, NOW) == ANSWER
    assert (await store.statistics(NOW)).cache_entries == 4


async def test_the_whole_stays_under_its_size_whoever_pays(store: Store) -> None:
    limits = CacheLimits(600, 100, 1000)
    for number in range(80):
        await keep(store, f"{number:04}", of=HALL, answer=CachedAnswer("", bytes(8), 24000, 48), limits=limits)
    assert (await store.statistics(NOW)).cache_entries == 80
    # More than are looked at in one go must make room.
    big = CachedAnswer("", bytes(947), 24000, 48)
    assert await keep(store, "one", answer=big, limits=limits, now=NOW + timedelta(seconds=1))
    assert (await store.statistics(NOW)).cache_entries == 1 + 50 // 12
    assert await keep(store, "two", answer=big, limits=limits, now=NOW + timedelta(seconds=2))
    assert await kept(store, "one", "two") == ["two"]
    assert (await store.statistics(NOW)).cache_entries == 1


async def test_what_is_too_old_goes_when_something_new_comes(store: Store) -> None:
    await keep(store, of=HALL)
    await keep(store, "new", now=NOW + timedelta(seconds=601))
    assert (await store.statistics(NOW)).cache_entries == 1


async def test_erasing_a_conversation_erases_its_answers_and_gives_their_room_back(store: Store) -> None:
    epoch = await store.open_session(KITCHEN, MANY, NOW)
    limits = CacheLimits(600, 100, 1000)
    answer = CachedAnswer("", bytes(900), 24000, 48)
    await store.cache_answer(KITCHEN.id, epoch, QUESTION, "es", answer, limits, NOW)
    await store.forget(KITCHEN.id)
    assert await store.cached_answer(KITCHEN.id, QUESTION, "es", 600, NOW) is None
    assert not await store.cache_answer(KITCHEN.id, epoch, QUESTION, "es", answer, limits, NOW)
    assert (await store.statistics(NOW)).cache_entries == 0
    assert await keep(store, "another", of=HALL, answer=answer, limits=limits)
    assert await keep(store, of=HALL, answer=CachedAnswer("", bytes(40), 24000, 48), limits=limits)
    assert (await store.statistics(NOW)).cache_entries == 2
