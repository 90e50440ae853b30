"""The report's page as HTML: its values set by the template in aqea_registry/report, with style and script within."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from aqea_registry.core import figures
from aqea_registry.core.page import Page, visible


def render(page: Page) -> bytes:
    """The page as HTML, with style and script within; its policy lets the reader's program run these two and no others."""
    from jinja2 import Environment, StrictUndefined
    from jinja2.filters import do_urlencode
    from markupsafe import Markup

    room = files("aqea_registry") / "report"
    style = figures.STYLE + (room / "page.css").read_text("utf-8")
    script = (room / "page.js").read_text("utf-8")
    environment = Environment(autoescape=True, finalize=visible, undefined=StrictUndefined, extensions=["jinja2.ext.do"])
    environment.filters["anchor"] = lambda name: do_urlencode(visible(name))  # type: ignore[arg-type]
    template = environment.from_string((room / "page.html").read_text("utf-8"))
    text = template.render(
        page=page,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704
        style_hash=_source(style),
        script_hash=_source(script),
    )
    return f"{text}\n".encode()


def _source(text: str) -> str:
    """What a Content-Security-Policy calls an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
