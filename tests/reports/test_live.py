from datetime import UTC, datetime

from gateway.events import CLEANUP, Listening, PresenceChanged, SessionsErased, Speaking, Thinking, TurnEnded
from gateway.reports.live import Activity, DeviceState, LiveState
from gateway.values import DeviceAddress, DeviceId, Outcome, Timings, TurnKind, TurnRecord

KITCHEN = DeviceAddress(DeviceId("a4cf128b3f9e"), "A4:CF:12:8B:3F:9E")
OFFICE = DeviceAddress(DeviceId("office"), "office")


def ended(
    device: DeviceAddress, turn: int, outcome: Outcome = Outcome.COMPLETED, latency: int | None = 200
) -> TurnEnded:
    return TurnEnded(
        TurnRecord(
            device,
            turn,
            TurnKind.SPEECH,
            outcome,
            datetime(2026, 1, 1, tzinfo=UTC),
            timings=Timings(first_audio_out=latency),
        )
    )


def test_a_device_goes_through_the_states_of_a_turn_and_is_idle_again() -> None:
    live = LiveState(devices_max=10)
    states = [live.apply(event) for event in (Listening(KITCHEN, 7), Thinking(KITCHEN, 7), Speaking(KITCHEN, 7))]
    assert [state.activity for state in states if state] == [Activity.LISTENING, Activity.THINKING, Activity.SPEAKING]
    end = live.apply(ended(KITCHEN, 7))
    assert end is not None
    assert end.activity is Activity.IDLE
    assert end.last is not None
    assert end.last.turn == 7


def test_the_end_of_an_interrupted_turn_leaves_its_successor_listening() -> None:
    live = LiveState(devices_max=10)
    live.apply(Speaking(KITCHEN, 7))
    live.apply(Listening(KITCHEN, 8))
    state = live.apply(ended(KITCHEN, 7, Outcome.INTERRUPTED))
    assert state is not None
    assert state.activity is Activity.LISTENING
    assert state.turn == 8
    assert state.last is not None
    assert state.last.outcome is Outcome.INTERRUPTED
    assert state.turns == 1


def test_turns_of_a_device_are_counted_until_it_is_forgotten() -> None:
    live = LiveState(devices_max=10)
    for turn in (7, 8, 9):
        live.apply(Listening(KITCHEN, turn))
        state = live.apply(ended(KITCHEN, turn))
        assert state is not None
    assert state.turns == 3
    live.apply(SessionsErased((KITCHEN,), CLEANUP))
    assert live.apply(ended(KITCHEN, 10)) == DeviceState(KITCHEN, last=ended(KITCHEN, 10).record, turns=1)


def test_devices_online_are_those_that_say_so_and_silent_ones_in_a_turn() -> None:
    live = LiveState(devices_max=10)
    live.apply(PresenceChanged(KITCHEN, online=True))
    live.apply(Listening(KITCHEN, 1))
    assert live.devices_online == 1
    live.apply(Listening(OFFICE, 0x8000))
    assert live.devices_online == 2
    live.apply(ended(OFFICE, 0x8000))
    assert live.devices_online == 1
    live.apply(PresenceChanged(KITCHEN, online=False))
    assert live.devices_online == 0


def test_a_device_that_was_cleaned_up_is_gone() -> None:
    live = LiveState(devices_max=10)
    live.apply(PresenceChanged(KITCHEN, online=True))
    live.apply(SessionsErased((KITCHEN,), CLEANUP))
    live.forget_presence(KITCHEN)
    assert live.devices_online == 0
    assert not live.online(KITCHEN.id)


def test_memory_is_bounded_whatever_devices_come() -> None:
    live = LiveState(devices_max=3)
    for number in range(50):
        device = DeviceAddress(DeviceId(f"d{number}"), f"d{number}")
        live.apply(PresenceChanged(device, online=True))
        live.apply(Listening(device, 1))
    assert live.devices_online <= 3


def test_latencies_begin_with_those_of_the_store_and_leave_out_turns_without_sound() -> None:
    live = LiveState(devices_max=3, latencies_ms=(30, 20, 10))
    live.apply(ended(KITCHEN, 1, latency=40))
    live.apply(ended(KITCHEN, 2, latency=None))
    assert list(live.latencies_ms) == [10, 20, 30, 40]


def test_latencies_are_those_of_completed_turns_whatever_began_them() -> None:
    live = LiveState(devices_max=3)
    live.apply(ended(KITCHEN, 1, latency=40))
    live.apply(ended(KITCHEN, 2, Outcome.FAILED, latency=900))
    assert list(live.latencies_ms) == [40]


def test_a_device_known_from_an_earlier_run_keeps_its_last_turn() -> None:
    live = LiveState(devices_max=3, earlier=(DeviceState(KITCHEN, last=ended(KITCHEN, 7).record),))
    assert [(state.device, state.activity) for state in live.states] == [(KITCHEN, Activity.IDLE)]
    assert live.apply(PresenceChanged(KITCHEN, online=True)) is None
    state = live.apply(Listening(KITCHEN, 8))
    assert state is not None
    assert state.last is not None
    assert state.last.turn == 7


def test_a_last_turn_that_was_erased_is_not_told_again_and_a_running_one_goes_on() -> None:
    live = LiveState(devices_max=3)
    live.apply(ended(KITCHEN, 1))
    live.apply(ended(OFFICE, 1))
    live.apply(Speaking(OFFICE, 2))
    live.forget_last(KITCHEN.id)
    live.forget_last(OFFICE.id)
    assert [(state.device, state.activity, state.last) for state in live.states] == [(OFFICE, Activity.SPEAKING, None)]
