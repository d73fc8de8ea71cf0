"""Whether the Hub answers. Everything embedded works without it, so the worst this finds is a warning."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from merzoo.doctor.check import Check
from merzoo.entries import last_line
from merzoo.text import plain, without_secrets
from merzoo.version import __version__

SECONDS = 5  # for each step of an answer
DEADLINE = 10  # for the whole of it, resolving the name included
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def reach() -> Iterator[Check]:
    """One request to the Hub as huggingface_hub makes it: its endpoint, its token, its proxies."""
    try:
        from huggingface_hub import constants, get_token
    except Exception:  # the check of its cache says so
        yield Check("hub", "warn", "not asked, for huggingface_hub does not work", "pip install --force-reinstall huggingface_hub")
        return
    endpoint, token = plain(without_secrets(str(constants.ENDPOINT)), 200), get_token()
    proxies = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    facts: dict[str, Any] = {"endpoint": endpoint, "token": token is not None, "offline": bool(constants.HF_HUB_OFFLINE), "proxies": proxies}
    has = ("a token is there" if token else "no token") + (f", through the proxy of {' and '.join(proxies)}" if proxies else "")
    if constants.HF_HUB_OFFLINE:
        yield Check("hub", "ok", f"{endpoint} is not asked: HF_HUB_OFFLINE is set; {has}", facts=facts)
        return
    answer = _within_deadline(token)
    if isinstance(answer, str):
        text = f"{endpoint} cannot be reached: {plain(without_secrets(answer, token), 200)}; {has}"
        yield Check("hub", "warn", text, "check the network, proxies and HF_ENDPOINT; embedded and cached weights work without", facts)
        return
    status, seconds, html = answer
    facts |= {"status": status, "seconds": round(seconds, 3)}
    text = f"{endpoint} answers {status} within {seconds:.2f} s; {has}"
    remedy = _remedy(status, html, bool(token))
    yield Check("hub", "warn" if remedy else "ok", text, remedy, facts)


def _remedy(status: int, html: bool, token: bool) -> str:
    if status in (401, 403):
        return "the token is refused: log in again (`hf auth login`), or unset HF_TOKEN" if token else "it wants a token: `hf auth login`, or set HF_TOKEN"
    if status == 407:
        return "the proxy wants a password: put it into HTTPS_PROXY"
    if status == 429:
        return "too many requests: wait a few minutes"
    if status >= 500:
        return "the Hub has trouble: try again later; embedded and cached weights work without"
    if html or not 200 <= status < 300:
        return "this is no Hub, but a log-in page of the network or a wrong HF_ENDPOINT"
    return ""


def _within_deadline(token: str | None) -> tuple[int, float, bool] | str:
    """Status, seconds and whether it is a web page, or what went wrong. In a thread, for names can take minutes to resolve and bytes trickle."""
    found: list[tuple[int, float, bool] | str] = []
    thread = threading.Thread(target=lambda: found.append(_ask(token)), daemon=True)
    thread.start()
    thread.join(DEADLINE)
    return found[0] if found else f"no answer within {DEADLINE} s"


def _ask(token: str | None) -> tuple[int, float, bool] | str:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    # Not its build_hf_headers, which may ask the Hub for something else first.
    headers = {"user-agent": f"merzoo/{__version__}"} | ({"authorization": f"Bearer {token}"} if token else {})
    began = time.perf_counter()
    path = "/api/whoami-v2" if token else "/api/models?limit=1"
    try:
        with get_session().stream("GET", constants.ENDPOINT + path, headers=headers, timeout=SECONDS) as answer:
            return answer.status_code, time.perf_counter() - began, answer.headers.get("content-type", "").startswith("text/html")
    except Exception as error:  # the client of each version raises kinds of its own
        return last_line(error)
