"""Whose token is at hand, as the Hub tells: known before anything is uploaded."""

from __future__ import annotations

from typing import Any

from merzoo.hub import causes
from merzoo.text import plain
from merzoo.version import __version__

REFUSED = "your token is refused (401): it is mistyped, revoked or too old; set HF_TOKEN to one that is valid, or log in again (`hf auth login`)"


def doubt(repo: str) -> str:
    """Why the token at hand will not be able to publish as `repo`, in one line; "" without a token, and where nothing speaks against it."""
    from huggingface_hub import HfApi, get_token

    if not get_token():
        return ""
    try:
        account: Any = HfApi(library_name="merzoo", library_version=__version__).whoami()
    except Exception as error:  # the client raises many kinds; only a refusal says something of the token
        refused = any(getattr(getattr(one, "response", None), "status_code", None) == 401 for one in causes(error))
        return REFUSED if refused else ""
    return _doubt(account, repo.partition("/")[0]) if isinstance(account, dict) else ""


def _doubt(account: dict[str, Any], owner: str) -> str:
    name = plain(account.get("name"), 100)
    listed = account.get("orgs")
    spaces = {name, *(plain(org.get("name"), 100) for org in (listed if isinstance(listed, list) else ()) if isinstance(org, dict))}
    if owner.lower() not in {space.lower() for space in spaces}:
        return f"your token is of {name}, who is not in {owner}; give --repo {name}/NAME, or a token of somebody who is"
    token = account.get("auth", {}).get("accessToken", {}) if isinstance(account.get("auth"), dict) else {}
    if isinstance(token, dict) and token.get("role") == "read":
        return f"your token of {name} may only read; publishing needs one that may write to {owner}"
    return ""
