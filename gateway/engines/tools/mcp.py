"""Functions of MCP servers (Model Context Protocol), by the official library: programs on this machine, which are
started here and spoken to over their standard input and output, and servers behind an address (streamable HTTP).
"""

import asyncio
import json
import logging
import os
import re
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TextIO

import httpx2
import mcp
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from gateway.config import Settings
from gateway.engines.closing import close_all
from gateway.engines.protocols import ToolSpec
from gateway.engines.tools.protocol import ToolContext
from gateway.errors import ToolFailed

CONNECT_S: Final = 15.0
"""Longest wait for a server to start and to say what it offers."""
FUNCTIONS_MAX: Final = 64
"""Functions of one server."""
AGAIN_AFTER_S: Final = (1.0, 5.0, 30.0, 120.0)
"""Waits before a server that is gone is tried again; the last is repeated."""
_NAME_MAX: Final = 64
"""Characters of a function's name that chat models take."""
_DESCRIPTION_MAX: Final = 1024
_LONGEST_QUOTE: Final = 200

_log = logging.getLogger(__name__)


class McpServers:
    """The functions of all servers, each under `<server>_<function>`. A server that is not there is tried again in the
    background; meanwhile its functions are not offered."""

    name = "mcp"

    def __init__(self, servers: Mapping[str, str]) -> None:
        """`servers` says for each name its address, or the command that starts it."""
        self._servers = [_Server(name, where) for name, where in servers.items()]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(dict(server.split("=", 1) for server in settings.mcp_servers))

    @property
    def description(self) -> str:
        return f"mcp ({', '.join(server.name for server in self._servers)})"

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return [spec for server in self._servers if not server.fault for spec in server.specs.values()]

    async def start(self) -> None:
        """Connect to all servers; one that does not answer in `CONNECT_S` seconds is not waited for."""
        for server in self._servers:
            server.start()
        await asyncio.gather(*(server.tried.wait() for server in self._servers))

    async def close(self) -> None:
        await close_all(server.close() for server in self._servers)

    async def check(self) -> str:
        found = [f"{server.name} offers {', '.join(server.names.values()) or 'nothing'}" for server in self._servers]
        if faults := [f"{server.name}: {server.fault}" for server in self._servers if server.fault]:
            raise ToolFailed("; ".join(faults))
        return "; ".join(found)

    async def call(self, function: str, arguments: Mapping[str, Any], context: ToolContext) -> str:
        for server in self._servers:
            if function in server.specs:
                return await server.call(function, arguments)
        raise ToolFailed(f"there is no function {function} any more")


class _Server:
    """One server and the task that keeps the connection to it: the library wants it ended where it was begun."""

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        self._where = where.strip()
        self.specs: dict[str, ToolSpec] = {}
        self.names: dict[str, str] = {}
        """What the server itself calls each of `specs`."""
        self.fault = ""
        """Why it is not connected; empty when it is."""
        self.tried = asyncio.Event()
        """Set when it is known whether the server is there; not while it is being connected to."""
        self._client: mcp.Client | None = None
        self._broken = asyncio.Event()
        self._http_error: int | None = None
        """The last status of an address that was none of success, which the library does not tell."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._stay_connected(), name=f"mcp server {self.name}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def call(self, function: str, arguments: Mapping[str, Any]) -> str:
        """Call `function`, one of `specs`.

        Raises:
            ToolFailed: the server says so, or is gone.
        """
        await self.tried.wait()
        client = self._client
        if client is None:
            raise ToolFailed(f"{self.name} is not there now: {self.fault}")
        try:
            result = await client.call_tool(self.names[function], dict(arguments))
        except mcp.MCPError as error:
            if error.code == mcp.types.CONNECTION_CLOSED:
                self._note_broken()
            raise ToolFailed(f"{self.name} answers: {_quoted(error)}") from error
        except Exception as error:
            self._note_broken()
            raise ToolFailed(f"{self.name} broke off") from error
        texts = [part.text for part in result.content if part.type == "text"]
        told = "\n".join(texts) or json.dumps(result.structured_content, ensure_ascii=False, default=str)
        if result.is_error:
            raise ToolFailed(told)
        return told

    def _note_broken(self) -> None:
        """Let the connection be made anew; calls wait for that."""
        self._client = None
        self.tried.clear()
        self._broken.set()

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            self.tried.clear()
            try:
                async with self._connected():
                    failures = 0
                    await self._broken.wait()
                self.fault = "the connection broke"
            except Exception as error:
                # A group of the library's tasks may hold anything that came of a server.
                self.fault = self._reason(error)
                if not self._broken.is_set():
                    self.tried.set()
            finally:
                self._client = None
            wait_s = AGAIN_AFTER_S[min(failures, len(AGAIN_AFTER_S) - 1)]
            failures += 1
            _log.warning("the MCP server %s is not there: %s; again in %g s", self.name, self.fault, wait_s)
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[None]:
        """A connection, with `specs` filled in, for as long as it holds."""
        self._broken.clear()
        self._http_error = None
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_S):
                client = await self._open(stack)
                await self._learn(client)
            self._client = client
            self.fault = ""
            self.tried.set()
            _log.info("the MCP server %s offers %d functions", self.name, len(self.specs))
            yield

    async def _open(self, stack: AsyncExitStack) -> mcp.Client:
        if self._where.startswith(("http://", "https://")):
            token = os.environ.get(token_variable(self.name), "").strip()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            hooks = {"response": [self._note_status]}
            # Time limits are those of the calls.
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=None, event_hooks=hooks))
            transport = streamable_http_client(self._where, http_client=http)
        else:
            command, *arguments = shlex.split(self._where)
            silenced = stack.enter_context(_nowhere())
            transport = stdio_client(StdioServerParameters(command=command, args=arguments), errlog=silenced)
        return await stack.enter_async_context(mcp.Client(transport))

    async def _note_status(self, response: httpx2.Response) -> None:
        # To the question for news, many answer that they have none.
        if response.is_error and response.request.method == "POST":
            self._http_error = response.status_code

    def _reason(self, error: BaseException) -> str:
        if self._http_error in (401, 403):
            return f"it refuses the token ({self._http_error}): check {token_variable(self.name)}"
        if self._http_error is not None:
            return f"it answered {self._http_error}"
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return f"no answer within {CONNECT_S:g} s" if isinstance(error, TimeoutError) else _quoted(error)

    async def _learn(self, client: mcp.Client) -> None:
        self.specs, self.names = {}, {}
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                if len(self.specs) >= FUNCTIONS_MAX:
                    _log.warning("the MCP server %s offers more than %d functions", self.name, FUNCTIONS_MAX)
                    return
                name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{self.name}_{tool.name}")[:_NAME_MAX]
                reads = tool.annotations is not None and bool(tool.annotations.read_only_hint)
                description = (tool.description or tool.title or tool.name)[:_DESCRIPTION_MAX]
                self.specs[name] = ToolSpec(name, description, tool.input_schema, acts=not reads)
                self.names[name] = tool.name
            if (cursor := page.next_cursor) is None:
                return


def _nowhere() -> TextIO:
    """Where the standard error of a server goes: in our log it would be lines without a bound."""
    return Path(os.devnull).open("w", encoding="utf-8")


def token_variable(server: str) -> str:
    """The environment variable with the token for a server: `MCP_HOME_TOKEN` for `home`."""
    return f"MCP_{server.upper().replace('-', '_')}_TOKEN"


def _quoted(error: BaseException) -> str:
    return " ".join(str(error).split())[:_LONGEST_QUOTE] or type(error).__name__
