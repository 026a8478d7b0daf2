"""Collections and models over HTTP: FastAPI routes, each of which calls one public function of the packages below."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
