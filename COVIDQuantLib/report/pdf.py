"""The same report as PDF, by WeasyPrint: as many pages as it should have, and nothing fetched from anywhere."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning

_OPTIONS = {"pdf_variant": "pdf/ua-1"}
_HOW = (
    'The report was written as HTML only, since {why}. For a PDF install the extra (pip install "COVIDQuant[report]") '
    "and Pango (Debian: libpango-1.0-0 and libpangoft2-1.0-0; macOS: brew install pango; Windows: MSYS2's pango), or "
    "print the HTML from a browser."
)


def pdf_maker() -> tuple[Any | None, list[CTWarning]]:
    """WeasyPrint if it can be used here; else None and a warning that says how to get a PDF."""
    try:
        # It prints advice of its own where Pango is missing.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import weasyprint
    except ImportError:
        return None, [CTWarning("report-no-pdf", _HOW.format(why="WeasyPrint is not installed"))]
    except OSError:
        return None, [CTWarning("report-no-pdf", _HOW.format(why="the library Pango is not installed"))]
    # What it thinks of fonts and styles is no news for a radiologist.
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)
    logging.getLogger("fontTools").setLevel(logging.CRITICAL)
    return weasyprint, []


def laid_out(maker: Any, html: str) -> Any:
    """The laid-out document; it has ``pages``.

    Args:
        maker: from :func:`pdf_maker`.
        html: the page; pictures are inside it.
    """
    return maker.HTML(string=html, url_fetcher=_fetcher(maker)).render(**_OPTIONS)


def pdf_of(document: Any) -> bytes:
    """A laid-out document as a tagged PDF (PDF/UA-1), which screen readers can read."""
    return document.write_pdf(**_OPTIONS)


def failure(error: Exception) -> CTWarning:
    """The warning where WeasyPrint failed: a fault of its own must not cost the other results."""
    what = f"WeasyPrint failed ({type(error).__name__})"
    return CTWarning("report-no-pdf", f"The report was written as HTML only, since {what}: print it from a browser.")


def _fetcher(maker: Any) -> Any:
    """What gives WeasyPrint the pictures: those inside the page, and nothing from files or the network."""
    if hasattr(maker.urls, "URLFetcher"):
        return maker.urls.URLFetcher(allowed_protocols=("data",))

    def fetch(url: str, *arguments: Any, **options: Any) -> Any:
        if not url.startswith("data:"):
            raise ValueError("a report loads nothing")
        return maker.default_url_fetcher(url, *arguments, **options)

    return fetch
