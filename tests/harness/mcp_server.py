"""An MCP server written with the official package: a program of its own, over stdio or HTTP."""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("stub")


@server.tool()
def echo(text: str) -> str:
    """Says it again."""
    return text


@server.tool()
def fail() -> str:
    """Never works."""
    raise ValueError("it failed")


@server.tool()
async def hang() -> str:
    """Never ends."""
    await asyncio.sleep(600)
    return ""


@server.tool()
def large(number: int) -> str:
    """So many letters."""
    return "x" * number


@server.tool()
def die() -> str:
    """The end of the server."""
    os._exit(3)


@server.tool()
def environment() -> list[str]:
    """The names of what the server got."""
    return sorted(os.environ)


@server.tool()
async def grow(context: Context) -> str:
    """One tool more."""

    def grown(text: str) -> str:
        """Was not there before."""
        return f"grown {text}"

    server.add_tool(grown)
    await context.session.send_tool_list_changed()
    return "grown"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
