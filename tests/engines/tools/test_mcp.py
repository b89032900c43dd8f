"""Functions of real MCP servers, by the official library on both sides."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from gateway.config import Settings
from gateway.engines.tools import mcp as mcp_tools
from gateway.engines.tools.mcp import McpServers
from gateway.errors import ToolFailed
from tests.conformance.tools import CONTEXT, ToolboxConformance
from tests.fakes.mcp_server import MODULE, TOKEN, over_http

PROGRAM = f"{sys.executable} -m {MODULE} stdio"
PATIENT_S = 60.0


@asynccontextmanager
async def started(toolbox: McpServers) -> AsyncIterator[McpServers]:
    with pytest.MonkeyPatch.context() as patch:
        # The library takes seconds to load on a busy machine.
        patch.setattr(mcp_tools, "CONNECT_S", PATIENT_S)
        await toolbox.start()
    try:
        yield toolbox
    finally:
        await toolbox.close()


class McpConformance(ToolboxConformance):
    async def test_calls_a_function(self, toolbox: McpServers) -> None:
        assert await toolbox.call("sums_add", {"a": 2, "b": 3}, CONTEXT) == "2 and 3 are 5"

    async def test_tells_which_functions_act(self, toolbox: McpServers) -> None:
        assert {spec.name: spec.acts for spec in toolbox.specs} == {
            "sums_add": False,
            "sums_variable": True,
            "sums_fail": True,
            "sums_die_now": True,
        }

    async def test_what_the_server_cannot_do_is_told(self, toolbox: McpServers) -> None:
        with pytest.raises(ToolFailed, match="out of paper"):
            await toolbox.call("sums_fail", {}, CONTEXT)
        assert await toolbox.call("sums_add", {"a": 1, "b": 1}, CONTEXT) == "1 and 1 are 2"

    async def test_calls_at_the_same_time_do_not_mix(self, toolbox: McpServers) -> None:
        answers = await asyncio.gather(*(toolbox.call("sums_add", {"a": at, "b": 1}, CONTEXT) for at in range(20)))
        assert answers == [f"{at} and 1 are {at + 1}" for at in range(20)]

    async def test_a_call_that_is_given_up_leaves_the_server_well(self, toolbox: McpServers) -> None:
        calling = asyncio.create_task(toolbox.call("sums_add", {"a": 1, "b": 1}, CONTEXT))
        await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait({calling})
        assert await toolbox.call("sums_add", {"a": 2, "b": 2}, CONTEXT) == "2 and 2 are 4"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program() -> AsyncIterator[McpServers]:
    async with started(McpServers.from_settings(Settings(mcp_servers=(f"sums={PROGRAM}",)))) as toolbox:
        yield toolbox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[McpServers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCP_SUMS_TOKEN", TOKEN)
        async with over_http() as url, started(McpServers({"sums": url})) as toolbox:
            yield toolbox


@pytest.mark.asyncio(loop_scope="module")
class TestProgram(McpConformance):
    @pytest.fixture
    def toolbox(self, program: McpServers) -> McpServers:
        return program


@pytest.mark.asyncio(loop_scope="module")
class TestOverHttp(McpConformance):
    @pytest.fixture
    def toolbox(self, server: McpServers) -> McpServers:
        return server


async def test_keys_in_the_environment_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    async with started(McpServers({"sums": PROGRAM})) as toolbox:
        assert await toolbox.call("sums_variable", {"name": "OPENAI_API_KEY"}, CONTEXT) == "nothing"


async def test_a_program_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_tools, "AGAIN_AFTER_S", (0.0,))
    async with started(McpServers({"sums": PROGRAM})) as toolbox:
        with pytest.raises(ToolFailed, match="sums"):
            await toolbox.call("sums_die_now", {}, CONTEXT)
        assert await toolbox.call("sums_add", {"a": 1, "b": 1}, CONTEXT) == "1 and 1 are 2"


async def test_a_server_that_is_not_there_does_not_keep_the_others_from_work() -> None:
    async with started(McpServers({"gone": "/nowhere/to/be/found", "sums": PROGRAM})) as toolbox:
        assert await toolbox.call("sums_add", {"a": 1, "b": 2}, CONTEXT) == "1 and 2 are 3"
        with pytest.raises(ToolFailed, match=r"gone: .*No such file"):
            await toolbox.check()


async def test_a_wrong_token_is_told() -> None:
    async with over_http() as url, started(McpServers({"sums": url})) as toolbox:
        assert toolbox.specs == []
        with pytest.raises(ToolFailed, match=r"sums: it refuses the token \(401\): check MCP_SUMS_TOKEN"):
            await toolbox.check()
