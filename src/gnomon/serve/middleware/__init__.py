"""What every request passes around its route: log, headers, origin, limits. Pure ASGI, so that streams stay streams."""
