"""HTML reports: one page that needs nothing else, from a Jinja2 template that extends `base.html`."""

from __future__ import annotations

import base64
import functools
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, **context: Any) -> str:
    """The page that a template of `package` makes of `context`; every text is escaped.

    `package` holds a folder `templates`. Its templates may extend `base.html` and import `macros.html`, which
    has tables and figures. Raises jinja2.TemplateNotFound, and UndefinedError for a name that is not given.
    """
    return _environment(package).get_template(template).render(context)


@functools.cache
def _environment(package: str) -> Environment:
    loader = ChoiceLoader([PackageLoader(package), PackageLoader(__name__)])
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment


def data_uri(png: bytes) -> str:
    """A PNG image as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
