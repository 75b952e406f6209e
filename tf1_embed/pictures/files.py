"""Pictures as files: PNG, SVG, and a page of several that needs no other file."""

from __future__ import annotations

import html
import io
import os
import re
import string
from typing import TYPE_CHECKING

import matplotlib

from tf1_embed.new_files import new_file
from tf1_embed.pictures.style import ON_DARK, printable, style

if TYPE_CHECKING:
    from typing import Mapping

    from matplotlib.figure import Figure

    from tf1_embed.types import PathLike

_PAGE = string.Template(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$heading</title>
<style>
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2126; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e8eaed; } }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0; }
dt { opacity: .7; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
@media (max-width: 30rem) { dl { display: block; } dd { margin: 0 0 .5rem; } }
svg { display: block; width: 100%; height: auto; }
</style>

<h1>$heading</h1>
$facts$sections
</html>
"""
)


def save(figure: Figure, path: PathLike, force: bool = False) -> None:
    """Writes a picture, whole or not at all. Equal pictures are equal files.

    SVG has the colours of its reader's scheme, light or dark, as far as its reader knows of it; PNG
    has light paper.

    Args:
      figure: `matplotlib.figure.Figure`.
      path: string, a file on a local disk that ends in .png or .svg.
      force: bool, whether a file at `path` is replaced.

    Raises:
      FileExistsError: if there is a file at `path`, without `force`.
      ValueError: if `path` ends otherwise.
    """
    picture = encode_picture(figure, path)
    with new_file(path, force) as file:
        file.write(picture)


def encode_picture(figure: Figure, path: PathLike) -> bytes:
    """Returns what `save` writes."""
    name, suffix = os.path.splitext(os.path.basename(path))
    if suffix.lower() == ".svg":
        return as_svg(figure, name).encode()
    if suffix.lower() != ".png":
        raise ValueError(f"`path` must end in .png or .svg, got {path!r}")
    written = io.BytesIO()
    with style():
        figure.savefig(written, format="png", dpi=160, metadata={"Software": None})
    return written.getvalue()


def write_page(
    path: PathLike,
    figures: Mapping[str, Figure],
    heading: str = "A table grew",
    force: bool = False,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Writes pictures as one HTML page that needs no other file, for light and for dark.

    Args:
      path: string, on a local disk.
      figures: dict from title to `matplotlib.figure.Figure`.
      heading: string, what the page is called.
      force: bool, whether a file at `path` is replaced.
      facts: dict from name to value, strings, what the page says under its heading.

    Raises:
      FileExistsError: if there is a file at `path`, without `force`.
      ValueError: if there are no figures.
    """
    page = encode_page(figures, heading, facts)
    with new_file(path, force) as file:
        file.write(page)


def encode_page(
    figures: Mapping[str, Figure], heading: str, facts: Mapping[str, str] | None = None
) -> bytes:
    """Returns what `write_page` writes."""
    if not figures:
        raise ValueError("`figures` must be one or more, got none")
    sections = "\n".join(
        f"<h2>{html.escape(printable(title))}</h2>\n{as_svg(figure, title)}"
        for title, figure in figures.items()
    )
    listed = "".join(
        f"<dt>{html.escape(printable(name))}</dt><dd>{html.escape(printable(value))}</dd>\n"
        for name, value in (facts or {}).items()
    )
    return _PAGE.substitute(
        heading=html.escape(printable(heading)),
        facts=f"<dl>\n{listed}</dl>\n" if listed else "",
        sections=sections,
    ).encode()


def as_svg(figure: Figure, label: str) -> str:
    """Returns a picture as an SVG element, to be a file or to be put into a page.

    Args:
      figure: `matplotlib.figure.Figure`.
      label: string, what those are told who do not see it; other than that of every other picture
        of the same page.

    Returns:
      string.

    Example:
      >>> from tf1_embed.plots import training_curve
      >>> figure = training_curve({"loss": ([1, 2], [0.5, 0.4])})
      >>> as_svg(figure, "Loss")[:36]
      '<svg role="img" aria-label="Loss" xm'
    """
    file, label = io.BytesIO(), printable(label)
    # Text stays text; ids within the picture depend on nothing but the label.
    with style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    label = html.escape(label, quote=True)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    # The same in every picture of a page.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    # Programs that know no style sheets see the light colours, which are each element's own.
    return svg.replace("<defs>", f"<style>{_DARK}</style>\n <defs>", 1)


def _dark_colours():
    rules = "".join(
        f'svg [style*="{what}: {light}"] {{ {what}: {dark} !important }} '
        for light, dark in ON_DARK.items()
        for what in ("fill", "stroke")
    )
    return (
        'svg text { font-family: system-ui, -apple-system, "Segoe UI", sans-serif !important } '
        f"@media (prefers-color-scheme: dark) {{ {rules}}}"
    )


_DARK = _dark_colours()
