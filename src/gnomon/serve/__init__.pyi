from .app import create_app
from .server import serve
from .settings import BatchSettings, ChatSettings, Limits, ServeSettings

__all__ = ["BatchSettings", "ChatSettings", "Limits", "ServeSettings", "create_app", "serve"]
