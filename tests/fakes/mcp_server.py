"""A real MCP server, by the official library, as a program: `python -m tests.fakes.mcp_server stdio`, or `http FD` on a
socket that listens already. Over HTTP it wants the token.
"""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

TOKEN = "a-token-of-the-server"
MODULE = "tests.fakes.mcp_server"


def make() -> Any:
    """The server: it adds, tells a secret of its environment, fails, and dies."""
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations

    server = MCPServer("sums")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return f"{a} and {b} are {a + b}"

    @server.tool()
    def variable(name: str) -> str:
        """What a variable of the environment holds."""
        return os.environ.get(name, "nothing")

    @server.tool()
    def fail() -> str:
        """Does not work."""
        raise ToolError("out of paper")

    @server.tool(name="die.now")
    def die() -> str:
        """End the server."""
        os._exit(1)

    return server


def main() -> None:
    """Serve until the input ends, or for ever."""
    server = make()
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    import uvicorn

    app = server.streamable_http_app()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {TOKEN}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"no token"})
            return
        await app(scope, receive, send)

    config = uvicorn.Config(guarded, log_level="error")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[2]))])


@asynccontextmanager
async def over_http() -> AsyncIterator[str]:
    """Serve in a process of its own; gives the address."""
    import asyncio

    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, "http", str(number), pass_fds=[number]
        )
        try:
            # Whoever connects before it serves waits in the queue of the socket.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    main()
