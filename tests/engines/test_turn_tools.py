"""What may be done within one turn: once, in time, and only when it may be done."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gateway.engines.protocols import ToolCall, ToolSpec
from gateway.engines.toolboxes import FUNCTIONS_MAX, Toolboxes
from gateway.engines.tools.protocol import ToolContext
from gateway.engines.turn_tools import CALLS_MAX, RESULT_MAX, TurnTools
from gateway.errors import ToolFailed
from tests.conformance.tools import CONTEXT

NOTHING: Mapping[str, Any] = {"type": "object"}
PATIENT_S = 20.0


class Lamp:
    """A toolbox with one lamp: `switch` acts, `look` reads."""

    name = "lamp"
    description = "lamp"

    def __init__(self, specs: Sequence[ToolSpec] | None = None) -> None:
        self.specs = specs or (ToolSpec("switch", "Switch", NOTHING, acts=True), ToolSpec("look", "Look", NOTHING))
        self.done: list[str] = []
        self.begun = asyncio.Semaphore(0)
        """One for each call that has begun."""
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return "well"

    async def call(self, function: str, arguments: Mapping[str, Any], context: ToolContext) -> str:
        self.begun.release()
        await self.go_on.wait()
        if "fail" in arguments:
            raise ToolFailed("the bulb is broken")
        if "crash" in arguments:
            raise KeyError("a defect")
        self.done.append(function)
        return "x" * arguments["long"] if "long" in arguments else f"{function} {len(self.done)}"


@pytest.fixture
def lamp() -> Lamp:
    return Lamp()


@pytest.fixture
def toolboxes(lamp: Lamp) -> Toolboxes:
    return Toolboxes([lamp], timeout_s=PATIENT_S)


@pytest.fixture
def called() -> list[ToolCall]:
    return []


@pytest.fixture
def tools(toolboxes: Toolboxes, called: list[ToolCall]) -> TurnTools:
    tools = toolboxes.for_turn(None, CONTEXT)
    tools.allow(called.append)
    return tools


async def test_a_call_is_done_told_and_counted(tools: TurnTools, toolboxes: Toolboxes, called: list[ToolCall]) -> None:
    assert await tools.call("switch", '{"on": true}') == "switch 1"
    assert [(one.name, one.ok, one.arguments, one.result) for one in called] == [
        ("switch", True, '{"on": true}', "switch 1")
    ]
    assert toolboxes.report() == [{"name": "switch", "calls": 1, "failed": 0, "repeated": 0}]


async def test_the_same_call_is_not_done_twice_in_a_turn(
    tools: TurnTools, toolboxes: Toolboxes, lamp: Lamp, called: list[ToolCall]
) -> None:
    answers = [await tools.call("switch", asked) for asked in ('{"a": 1, "b": 2}', '{"b":2,"a":1}')]
    assert answers == ["switch 1", "switch 1"]
    assert (lamp.done, len(called)) == (["switch"], 1)
    assert toolboxes.report() == [{"name": "switch", "calls": 1, "failed": 0, "repeated": 1}]
    again = toolboxes.for_turn(None, CONTEXT)
    again.allow(called.append)
    assert await again.call("switch", '{"a": 1, "b": 2}') == "switch 2"


async def test_the_same_call_twice_at_once_is_done_once(tools: TurnTools, lamp: Lamp) -> None:
    assert await asyncio.gather(tools.call("switch", ""), tools.call("switch", "{}")) == ["switch 1", "switch 1"]
    assert lamp.done == ["switch"]


async def test_after_something_was_done_it_is_looked_again(tools: TurnTools, lamp: Lamp) -> None:
    assert [await tools.call(name, "") for name in ("look", "look", "switch", "look")] == [
        "look 1",
        "look 1",
        "switch 2",
        "look 3",
    ]


async def test_nothing_is_done_before_the_question_is_whole(toolboxes: Toolboxes, lamp: Lamp) -> None:
    tools = toolboxes.for_turn(None, CONTEXT)
    waiting = asyncio.create_task(tools.call("switch", ""))
    for _ in range(10):
        await asyncio.sleep(0)
    assert lamp.begun.locked()
    tools.allow(lambda _: None)
    assert await waiting == "switch 1"


async def test_what_was_asked_for_in_vain_is_never_done(toolboxes: Toolboxes, lamp: Lamp) -> None:
    tools = toolboxes.for_turn(None, CONTEXT)
    waiting = asyncio.create_task(tools.call("switch", ""))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert (lamp.done, toolboxes.report()) == ([], [{"name": "switch", "calls": 0, "failed": 0, "repeated": 0}])


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("switch", '{"fail": 1}', "error: the bulb is broken"),
        ("switch", '{"crash": 1}', "error: unforeseen KeyError"),
        ("switch", "{not json", "error: the arguments are no JSON object"),
        ("switch", "[1]", "error: the arguments are no JSON object"),
        ("switch", '{"a": "' + "x" * 20_000 + '"}', "error: the arguments are longer than 16384 characters"),
        ("dance", "{}", "error: there is no function 'dance'; there are: switch, look"),
    ],
)
async def test_what_goes_wrong_is_told_the_model(
    tools: TurnTools, toolboxes: Toolboxes, called: list[ToolCall], name: str, arguments: str, told: str
) -> None:
    assert await tools.call(name, arguments) == told
    assert [one.ok for one in called] == [False]
    counted = "unknown" if name == "dance" else name
    assert toolboxes.report() == [{"name": counted, "calls": 1, "failed": 1, "repeated": 0}]


async def test_a_call_that_takes_too_long_is_ended_and_not_done_again(lamp: Lamp, called: list[ToolCall]) -> None:
    lamp.go_on.clear()
    tools = Toolboxes([lamp], timeout_s=0.05).for_turn(None, CONTEXT)
    tools.allow(called.append)
    told = "error: no answer within 0.05 s: it may have been done or not"
    assert await tools.call("switch", "") == told
    lamp.go_on.set()
    assert await tools.call("switch", "") == told
    assert (lamp.done, [one.ok for one in called]) == ([], [False])


async def test_an_action_that_was_interrupted_is_not_begun_again_and_the_model_is_told(
    tools: TurnTools, lamp: Lamp
) -> None:
    lamp.go_on.clear()
    for name in ("switch", "look"):
        begun = asyncio.create_task(tools.call(name, ""))
        await lamp.begun.acquire()
        begun.cancel()
        await asyncio.wait({begun})
    lamp.go_on.set()
    assert await tools.call("switch", "") == "error: it was interrupted, and may have been done or not"
    assert await tools.call("look", "") == "look 1"


async def test_there_is_an_end_to_the_calls_of_a_turn(tools: TurnTools, lamp: Lamp) -> None:
    answers = [await tools.call("switch", f'{{"at": {at}}}') for at in range(CALLS_MAX + 1)]
    assert len(lamp.done) == CALLS_MAX
    assert answers[-1] == f"error: no more than {CALLS_MAX} calls for one question"


async def test_a_long_result_is_cut_off(tools: TurnTools) -> None:
    result = await tools.call("look", '{"long": 50000}')
    assert len(result) < RESULT_MAX + 50
    assert result.endswith("(cut off: 50000 characters)")


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["switch", "look"]),
        ((), []),
        (("lamp",), ["switch", "look"]),
        (("look",), ["look"]),
        (("sw*",), ["switch"]),
        (("clock",), []),
    ],
)
async def test_a_device_has_the_tools_that_it_may_use(
    toolboxes: Toolboxes, allowed: tuple[str, ...] | None, names: list[str]
) -> None:
    tools = toolboxes.for_turn(allowed, CONTEXT)
    tools.allow(lambda _: None)
    assert [spec.name for spec in tools.specs] == names
    for name in ("switch", "look"):
        assert (await tools.call(name, "")).startswith("error: there is no function") == (name not in names)


async def test_a_name_is_given_once_and_too_many_functions_are_left_out() -> None:
    many = Lamp([ToolSpec(f"function{index}", "One of many", NOTHING) for index in range(FUNCTIONS_MAX + 5)])
    toolboxes = Toolboxes([Lamp(), Lamp(), many])
    assert len(toolboxes.for_turn(None, CONTEXT).specs) == FUNCTIONS_MAX
    assert toolboxes.left_out == 2 + 5 + 2
    toolboxes.for_turn((), CONTEXT)
    assert toolboxes.left_out == 2 + 5 + 2  # a counter: it never falls
    toolboxes.for_turn(None, CONTEXT)
    assert toolboxes.left_out == 2 * (2 + 5 + 2)


async def test_work_of_an_engine_itself_is_done_once_and_only_where_it_may_be(toolboxes: Toolboxes) -> None:
    done: list[str] = []

    async def work() -> str:
        done.append("done")
        return "it is done"

    tools = toolboxes.for_turn(("home-assistant",), CONTEXT)
    tools.allow(lambda _: None)
    assert [await tools.perform("home-assistant", {"text": "on"}, work) for _ in range(2)] == ["it is done"] * 2
    assert done == ["done"]
    with pytest.raises(ToolFailed, match="may not use home-assistant"):
        await toolboxes.for_turn((), CONTEXT).perform("home-assistant", {"text": "on"}, work)
