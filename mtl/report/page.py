"""One HTML page from a room's template and the style that all reports share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["render_page"]


def render_page(
    package: str,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    template: str = "report",
    **content: Any,
) -> str:
    """Return the page of a room: styles inside, nothing loaded from elsewhere, all text escaped.

    Args:
        package: The room whose template is filled, such as `mtl.run`.
        filters: The template's own filters.
        template: Its name, without `.html.j2`.
        content: What the template shows; a name that is missing is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("mtl.report", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(f"{template}.html.j2").render(**content)
