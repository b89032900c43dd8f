"""What a store does, on every kind of database."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from gateway.errors import SessionLimitReached, StoreError
from gateway.store import ErasedSession, Recollection, SessionSummary, Store
from gateway.values import LinkCounts, Message, Outcome, ReplyForm, Timings, TurnKind
from tests.store.samples import HALL, KITCHEN, LONG, MANY, NOW, device, long_conversation, turn


class TestConversation:
    async def test_a_turn_is_remembered_as_it_was(self, store: Store) -> None:
        record = turn(
            heard="¿Qué hora es?",
            said="Son las tres. 🕒",
            turn=41,
            language="es",
            chunks=7,
            bytes=12_345,
            timings=Timings(1200, 80, 150, 210, 260, 900),
            link=LinkCounts(lost=1, duplicate=2, late=3),
        )
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        assert await store.record_turn(record, epoch)
        assert await store.turns(KITCHEN.id, 10) == [record]
        assert await store.history(KITCHEN.id, 10) == [
            Message("user", "¿Qué hora es?"),
            Message("assistant", "Son las tres. 🕒"),
        ]

    async def test_it_outlives_the_process_that_wrote_it(self, store: Store, url: str) -> None:
        await store.record_turn(turn(), await store.open_session(KITCHEN, MANY, NOW))
        await store.close()
        again = Store(url)
        await again.start()
        assert len(await again.history(KITCHEN.id, 10)) == 2
        await again.close()

    async def test_history_is_the_newest_messages_in_order(self, store: Store) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        for number in range(5):
            await store.record_turn(turn(heard=f"q{number}", said=f"a{number}"), epoch)
        assert [message.text for message in await store.history(KITCHEN.id, 3)] == ["a3", "q4", "a4"]
        assert [record.heard for record in await store.turns(KITCHEN.id, 2)] == ["q3", "q4"]
        assert [line.text async for line in store.messages(KITCHEN.id)] == [
            f"{who}{n}" for n in range(5) for who in "qa"
        ]

    async def test_an_export_goes_beyond_one_page(self, store: Store) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        await asyncio.gather(*(store.record_turn(turn(heard=f"{n}", said=""), epoch) for n in range(201)))
        assert [line.text async for line in store.messages(KITCHEN.id)] == [f"{n}" for n in range(201)]

    @pytest.mark.parametrize(
        ("record", "expected"),
        [
            (turn(kind=TurnKind.SAY, heard="Dinner!", said="Dinner!"), [Message("assistant", "Dinner!")]),
            (turn(outcome=Outcome.INTERRUPTED, said=""), [Message("user", "hello")]),
            (turn(outcome=Outcome.SILENT, heard="", said=""), []),
        ],
    )
    async def test_only_what_was_heard_and_said_becomes_a_message(
        self, store: Store, record: object, expected: list[Message]
    ) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        assert await store.record_turn(record, epoch)  # type: ignore[arg-type]
        assert await store.history(KITCHEN.id, 10) == expected
        assert await store.turns(KITCHEN.id, 10) == [record]

    async def test_two_turns_with_one_number_are_two_turns(self, store: Store) -> None:
        """A device that restarts counts from 1 again."""
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        for _ in range(2):
            await store.record_turn(turn(turn=1), epoch)
        assert len(await store.turns(KITCHEN.id, 10)) == 2

    async def test_the_newest_reply_can_be_corrected_unless_it_was_erased(self, store: Store) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        other = await store.open_session(HALL, MANY, NOW)
        first, second = turn(said="one two"), turn(turn=2, said="three four")
        for record in (first, second):
            await store.record_turn(record, epoch)
        await store.record_turn(turn(HALL, turn=2, said="three four"), other)
        assert await store.amend_reply(second, epoch, "three")
        assert [message.text for message in await store.history(KITCHEN.id, 9)] == [
            "hello",
            "one two",
            "hello",
            "three",
        ]
        assert [record.said for record in await store.turns(KITCHEN.id, 9)] == ["one two", "three"]
        assert [message.text for message in await store.history(HALL.id, 9)] == ["hello", "three four"]
        await store.forget(KITCHEN.id)
        assert not await store.amend_reply(second, epoch, "three")

    async def test_text_that_databases_refuse_is_cleaned(self, store: Store) -> None:
        await store.save_device_info(KITCHEN, {"name": "a\x00b\ud800"}, MANY, NOW)
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        await store.record_turn(turn(heard="a\x00b", said="c\ud800d"), epoch)
        assert [message.text for message in await store.history(KITCHEN.id, 10)] == ["ab", "c?d"]

    async def test_conversations_do_not_mix(self, store: Store) -> None:
        devices = [device(f"device-{number}") for number in range(30)]

        async def talk(number: int) -> None:
            epoch = await store.open_session(devices[number], MANY, NOW)
            for count in range(3):
                question = f"question {count} of {number}"
                assert await store.record_turn(turn(devices[number], question, f"answer to {question}"), epoch)

        await asyncio.gather(*(talk(number) for number in range(30)))
        for number in range(30):
            texts = [message.text for message in await store.history(devices[number].id, 20)]
            assert len(texts) == 6
            assert all(text.endswith(f" of {number}") for text in texts)
        assert (await store.statistics(NOW)).total_messages == 180

    async def test_recent_turns_tell_how_the_device_speaks_and_the_newest_number_of_the_gateways(
        self, store: Store
    ) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        assert await store.recollect(KITCHEN.id, 0x8000) == Recollection(None, None, None)
        for number in (0x8001, 0xFFFF, 0x8000, 7):
            await store.record_turn(turn(turn=number), epoch)
        await store.record_turn(turn(turn=8, reply_form=ReplyForm.STREAM, largest_message=800), epoch)
        await store.record_turn(turn(turn=9), epoch)
        assert await store.recollect(KITCHEN.id, 0x8000) == Recollection(0x8000, ReplyForm.STREAM, 800)
        assert (await store.recollect(KITCHEN.id, 1)).number == 9


class TestSession:
    async def test_all_spellings_are_one_session_which_keeps_the_newest(self, store: Store) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        assert await store.open_session(device("ESP32-a4cf128b3f9e"), MANY, NOW + timedelta(hours=1)) == epoch
        (summary,) = await store.sessions(10)
        assert summary == SessionSummary(KITCHEN.id, "ESP32-a4cf128b3f9e", NOW, NOW, 0, {})

    async def test_hello_is_kept_and_is_no_activity(self, store: Store) -> None:
        await store.record_turn(turn(), await store.open_session(KITCHEN, MANY, NOW))
        info = {"v": 1, "name": "Cocina", "reply": {"rate": 24000}}
        await store.save_device_info(KITCHEN, info, MANY, NOW + timedelta(days=3))
        assert await store.session(KITCHEN.id) == SessionSummary(KITCHEN.id, KITCHEN.spelling, NOW, NOW, 2, info)

    async def test_hello_before_the_first_turn_makes_the_session(self, store: Store) -> None:
        await store.save_device_info(KITCHEN, {"v": 1}, MANY, NOW)
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        assert await store.record_turn(turn(), epoch)

    async def test_a_turn_is_activity_but_never_turns_it_back(self, store: Store) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        later = NOW + timedelta(minutes=5)
        for started_at in (later, NOW):
            await store.record_turn(turn(outcome=Outcome.SILENT, heard="", said="", started_at=started_at), epoch)
        summary = await store.session(KITCHEN.id)
        assert summary is not None
        assert (summary.created_at, summary.updated_at) == (NOW, later)

    async def test_times_are_utc_whatever_zone_they_came_in(self, store: Store) -> None:
        west = timezone(timedelta(hours=-2))
        await store.open_session(HALL, MANY, NOW.astimezone(west))
        await store.open_session(KITCHEN, MANY, NOW.replace(microsecond=0) - timedelta(seconds=1))
        first, second = await store.sessions(10)
        assert [first.session_id, second.session_id] == [HALL.id, KITCHEN.id]
        assert first.updated_at == NOW
        assert first.updated_at.tzinfo is UTC

    async def test_the_list_is_newest_first_in_pages(self, store: Store) -> None:
        for number in range(5):
            await store.open_session(device(f"d{number}"), MANY, NOW + timedelta(seconds=number))
        assert [found.session_id for found in await store.sessions(2)] == ["d4", "d3"]
        assert [found.session_id for found in await store.sessions(2, 3)] == ["d1", "d0"]
        assert await store.session(device("unknown").id) is None

    async def test_one_session_too_many_is_refused_and_leaves_nothing(self, store: Store) -> None:
        await store.open_session(KITCHEN, 1, NOW)
        with pytest.raises(SessionLimitReached):
            await store.open_session(HALL, 1, NOW)
        with pytest.raises(SessionLimitReached):
            await store.save_device_info(HALL, {"v": 1}, 1, NOW)
        assert await store.session(HALL.id) is None
        assert (await store.statistics(NOW)).total_sessions == 1
        await store.open_session(KITCHEN, 1, NOW)
        await store.forget(KITCHEN.id)
        await store.open_session(HALL, 1, NOW)


class TestErasing:
    async def test_forget_erases_all_of_one_and_nothing_of_another(self, store: Store) -> None:
        for of in (KITCHEN, HALL):
            await store.record_turn(turn(of), await store.open_session(of, MANY, NOW))
        assert await store.forget(KITCHEN.id) == ErasedSession(KITCHEN.id, KITCHEN.spelling, 2, NOW)
        assert await store.forget(KITCHEN.id) is None
        assert await store.history(KITCHEN.id, 10) == []
        assert await store.turns(KITCHEN.id, 10) == []
        assert len(await store.history(HALL.id, 10)) == 2

    async def test_a_turn_that_ends_after_its_erasure_is_not_written(self, store: Store) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        await store.forget(KITCHEN.id)
        assert not await store.record_turn(turn(), epoch)
        assert await store.session(KITCHEN.id) is None
        # Nor into the conversation that the device has begun since.
        newer = await store.open_session(KITCHEN, MANY, NOW)
        assert not await store.record_turn(turn(heard="old"), epoch)
        assert await store.record_turn(turn(heard="new"), newer)
        assert [message.text for message in await store.history(KITCHEN.id, 10)] == ["new", "hi"]
        assert (await store.statistics(NOW)).total_messages == 2

    async def test_cleanup_takes_the_idle_and_spares_the_rest(self, store: Store) -> None:
        devices = [device(f"d{days:03}") for days in range(120)]  # more than are erased in one go
        for days, of in enumerate(devices):
            started_at = NOW - timedelta(days=days)
            epoch = await store.open_session(of, MANY, started_at)
            await store.record_turn(turn(of, started_at=started_at), epoch)
        idle = [
            ErasedSession(devices[days].id, devices[days].spelling, 2, NOW - timedelta(days=days))
            for days in range(119, 30, -1)
        ]
        assert await store.cleanup(30, True, NOW) == idle
        assert len(await store.sessions(MANY)) == 120
        assert await store.cleanup(30, False, NOW) == idle
        assert await store.cleanup(30, False, NOW) == []
        assert {found.session_id for found in await store.sessions(MANY)} == {of.id for of in devices[:31]}
        statistics = await store.statistics(NOW)
        assert (statistics.total_sessions, statistics.total_conversations, statistics.total_messages) == (31, 31, 62)

    async def test_turns_are_counted_by_the_day_on_which_they_began_where_the_gateway_is(self, store: Store) -> None:
        madrid = NOW.astimezone(ZoneInfo("Europe/Madrid")).replace(hour=0, minute=30)
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        for started_at in (madrid - timedelta(hours=1), madrid, madrid + timedelta(hours=20)):
            assert await store.record_turn(turn(started_at=started_at), epoch)
        assert await store.record_turn(turn(outcome=Outcome.FAILED, started_at=madrid), epoch)

        async def counted(now: datetime) -> tuple[int, int]:
            found = await store.statistics(now)
            return found.turns_today, found.failed_today

        assert await counted(madrid + timedelta(hours=22)) == (3, 1)
        assert await counted(madrid - timedelta(minutes=40)) == (1, 0)
        assert await counted(madrid + timedelta(days=1)) == (0, 0)
        # What was erased was still asked today; what was counted long ago goes with a clean-up.
        await store.forget(KITCHEN.id)
        await store.cleanup(30, False, madrid + timedelta(hours=22))
        assert await counted(madrid + timedelta(hours=22)) == (3, 1)
        await store.cleanup(30, False, madrid + timedelta(days=3))
        assert await counted(madrid + timedelta(hours=22)) == (0, 0)

    @pytest.mark.parametrize("cleaning", [False, True])
    async def test_a_long_conversation_goes_a_piece_at_a_time_and_turns_are_had_in_between(
        self, store: Store, url: str, cleaning: bool
    ) -> None:
        epoch = await store.open_session(HALL, MANY, NOW)
        long_conversation(url, KITCHEN, LONG, NOW - timedelta(days=40))

        async def erase() -> list[ErasedSession]:
            erased = await store.cleanup(30, False, NOW) if cleaning else [await store.forget(KITCHEN.id)]
            return [session for session in erased if session is not None]

        erasing = asyncio.create_task(erase())
        turns = 0
        while not erasing.done():
            assert await store.record_turn(turn(HALL), epoch)
            turns += 1
        # The store does one thing after the other: as many turns as there were pieces.
        assert turns > LONG // 2000
        assert await erasing == [ErasedSession(KITCHEN.id, KITCHEN.spelling, LONG, NOW - timedelta(days=40))]
        assert await store.history(KITCHEN.id, 10) == []
        assert await store.turns(KITCHEN.id, 10) == []
        statistics = await store.statistics(NOW)
        assert (statistics.total_sessions, statistics.total_conversations) == (1, 1)
        assert statistics.total_messages == len(await store.history(HALL.id, LONG)) == 2 * turns

    async def test_a_device_that_speaks_again_while_it_is_cleaned_up_keeps_what_is_left(
        self, store: Store, url: str
    ) -> None:
        long_conversation(url, KITCHEN, LONG, NOW - timedelta(days=40))
        cleaning = asyncio.create_task(store.cleanup(30, False, NOW))
        await asyncio.sleep(0)  # its first piece is asked for
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        assert await store.record_turn(turn(heard="again"), epoch)
        assert await cleaning == []
        kept = await store.history(KITCHEN.id, LONG)
        assert [message.text for message in kept[-3:]] == [f"line {LONG - 1}", "again", "hi"]
        assert len(kept) < LONG
        found = await store.session(KITCHEN.id)
        assert found is not None
        assert found.message_count == len(kept) == (await store.statistics(NOW)).total_messages

    @pytest.mark.parametrize("days", [-1, -0.001, float("nan"), 1e12])
    async def test_days_out_of_range_erase_nothing(self, store: Store, days: float) -> None:
        await store.open_session(KITCHEN, MANY, NOW)
        with pytest.raises(ValueError, match="days"):
            await store.cleanup(days, False, NOW + timedelta(days=1))
        assert len(await store.sessions(10)) == 1


class TestStatistics:
    async def test_an_empty_store_has_figures_too(self, store: Store) -> None:
        statistics = await store.statistics(NOW)
        assert statistics.avg_messages_per_session == 0
        assert statistics.last_activity is None
        assert statistics.turns == dict.fromkeys(Outcome, 0)

    async def test_figures(self, store: Store, url: str) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        link = LinkCounts(lost=2, duplicate=3, late=1)
        await store.record_turn(turn(link=link, timings=Timings(first_audio_out=300)), epoch)
        await store.record_turn(turn(cached=True, timings=Timings(first_audio_out=20)), epoch)
        await store.record_turn(turn(outcome=Outcome.FAILED, timings=Timings(first_audio_out=9)), epoch)
        await store.record_turn(turn(outcome=Outcome.SILENT, heard="", said=""), epoch)
        await store.open_session(HALL, MANY, NOW - timedelta(days=2))
        await store.close()
        reopened = Store(url)
        await reopened.start()
        statistics = await reopened.statistics(NOW + timedelta(hours=1))
        await reopened.close()
        assert (statistics.total_sessions, statistics.total_conversations, statistics.total_messages) == (2, 1, 6)
        assert statistics.avg_messages_per_session == 3
        assert statistics.last_activity == NOW
        assert [(seen.session_id, seen.message_count) for seen in statistics.active] == [(KITCHEN.id, 6)]
        assert statistics.active_count == 1
        assert statistics.turns == {
            Outcome.COMPLETED: 2,
            Outcome.INTERRUPTED: 0,
            Outcome.SILENT: 1,
            Outcome.FAILED: 1,
        }
        assert (statistics.lost, statistics.duplicate, statistics.cache_hits) == (2, 3, 1)
        assert statistics.latencies_ms == (20, 300)

    async def test_ten_active_sessions_are_shown_and_all_counted(self, store: Store) -> None:
        for number in range(12):
            await store.open_session(device(f"d{number:02}"), MANY, NOW + timedelta(seconds=number))
        statistics = await store.statistics(NOW + timedelta(hours=1))
        assert [seen.session_id for seen in statistics.active] == [f"d{number:02}" for number in range(11, 1, -1)]
        assert statistics.active_count == 12


class TestBounds:
    async def test_calls_beyond_the_limit_are_refused_and_counted(self, url: str) -> None:
        store = Store(url, waiting_max=2)
        await store.start()
        results = await asyncio.gather(*(store.sessions(1) for _ in range(5)), return_exceptions=True)
        assert [isinstance(result, StoreError) for result in results] == [False, False, True, True, True]
        assert store.refused == 3
        assert await store.sessions(1) == []
        await store.close()

    async def test_a_cancelled_caller_leaves_the_store_usable(self, url: str) -> None:
        store = Store(url, waiting_max=2)
        await store.start()
        for _ in range(10):
            call = asyncio.create_task(store.open_session(KITCHEN, MANY, NOW))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await store.sessions(1)
        assert await store.record_turn(turn(), await store.open_session(KITCHEN, MANY, NOW))
        await store.close()

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="not open"):
            await store.sessions(1)

    async def test_closing_finishes_what_waits(self, store: Store, url: str) -> None:
        epoch = await store.open_session(KITCHEN, MANY, NOW)
        writes = [asyncio.create_task(store.record_turn(turn(), epoch)) for _ in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*writes) == [True] * 20
