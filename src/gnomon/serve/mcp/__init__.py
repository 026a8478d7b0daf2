"""Collections as tools of assistants, by the Model Context Protocol (MCP): over stdio, and over HTTP at /mcp."""
