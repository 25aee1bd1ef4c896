"""Tools of a back end over HTTP, of its OpenAPI document, of MCP servers, and Python functions."""
