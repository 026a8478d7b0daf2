from .app import create_app
from .server import serve
from .settings import BatchingSettings, ChatSettings, Limits, ServeSettings

__all__ = ["BatchingSettings", "ChatSettings", "Limits", "ServeSettings", "create_app", "serve"]
