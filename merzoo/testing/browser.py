"""Debian's chromium, driven by Playwright: for tests and measurements of the board's page."""

from __future__ import annotations

import os
import shutil
import time
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


def until(page: Page, expression: str, arg: object = None) -> None:
    """Wait until a script says yes. Playwright's `wait_for_function` evaluates strings inside the page when its first look comes too early, which the board's
    policy forbids. Raises `TimeoutError` after half a minute."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression, arg):
        if time.monotonic() > deadline:
            raise TimeoutError(f"never true in the page: {expression}")
        page.wait_for_timeout(20)


def sort_ms(page: Page, column: str) -> float:
    """Milliseconds from a click on the head of a column of an open board to its rows laid out in their new order."""
    return float(page.evaluate(_SORT, f"thead .c-{column} .dt-column-header"))
