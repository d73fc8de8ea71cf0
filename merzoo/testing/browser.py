"""Debian's chromium, driven by Playwright: for tests and measurements of the board's page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MISSING = "no chromium on the path; apt-get install chromium, or name one in MERZOO_CHROMIUM"
SWITCHES = (  # it may run as root, and asks no network for anything on its own
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_SORT = """(head) => new Promise((done) => {
    const start = performance.now();
    board.table.one("draw", () => setTimeout(() => done((document.body.offsetHeight, performance.now() - start))));
    document.querySelector(head).click();
})"""


def executable() -> str | None:
    """Where chromium lies: `MERZOO_CHROMIUM`, else what is on the path; None without one."""
    return os.environ.get("MERZOO_CHROMIUM") or shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser. Raises `FileNotFoundError` without one."""
    path = executable()
    if path is None:
        raise FileNotFoundError(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=path, args=list(SWITCHES))
        try:
            yield made
        finally:
            made.close()


def sort_ms(page: Page, column: str) -> float:
    """Milliseconds from a click on the head of a column of an open board to its rows laid out in their new order."""
    return float(page.evaluate(_SORT, f"thead .c-{column} .dt-column-header"))
