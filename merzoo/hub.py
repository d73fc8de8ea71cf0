"""Models that others published: on the Hugging Face Hub, or in a folder. huggingface_hub does transfer, cache, locks and retries; here its failures become
one line each. Its settings hold: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HOME and HF_HUB_CACHE, HF_HUB_DOWNLOAD_TIMEOUT, and the proxies'."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merzoo.digests import sha256
from merzoo.entries import last_line
from merzoo.errors import MerzooError, MerzooWarning, WeightsError
from merzoo.published import CONFIG, WEIGHTS, Config, read_config
from merzoo.specs import WeightsSpec
from merzoo.text import plain, without_secrets
from merzoo.version import __version__

HUB, FOLDER = "hf-hub:", "local-dir:"
REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[\w][\w./-]{0,199}", re.ASCII)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Published:
    """A published model that lies on this machine: its config, its weights' file, and both as weights of the model. where: as it was asked for."""

    where: str
    config: Config
    file: Path
    weights: WeightsSpec


def is_published(name: object) -> bool:
    """Whether a name or a choice of weights means a published model: `hf-hub:org/repo[@revision]` or `local-dir:PATH`."""
    return isinstance(name, str) and name.startswith((HUB, FOLDER))


def open_published(where: str) -> Published:
    """Find a published model, fetching what is not here yet; its weights are not read.

    A repository without a commit (40 hex digits) is taken as it is today, with a warning that says which commit that is. Raises `WeightsError`.
    """
    config, weights = about_published(where)
    if where.startswith(FOLDER):
        return Published(where, config, Path(weights.source), weights)
    repo, commit = weights.source.removeprefix("hf://").removesuffix(f"/{WEIGHTS}").split("@")
    return Published(where, config, fetch(repo, WEIGHTS, commit, config.sha256), weights)


def about_published(where: str) -> tuple[Config, WeightsSpec]:
    """What the config of a published model says, and the same as weights of the model, without fetching those. Warns and raises as `open_published`."""
    if where.startswith(FOLDER):
        if not where.removeprefix(FOLDER).strip():
            raise WeightsError(f"{FOLDER} names no folder; give {FOLDER}PATH, or {FOLDER}. for this one")
        folder = Path(where.removeprefix(FOLDER)).expanduser()
        config = read_config(folder, where)
        return config, config.weights_spec(plain(folder.resolve().name, 80) or "folder", str(folder / WEIGHTS))
    repo, revision = parse(where)
    path = fetch(repo, CONFIG, revision)
    commit = path.parent.name  # huggingface_hub keeps a file as snapshots/COMMIT/FILE
    if not COMMIT.fullmatch(commit) or (COMMIT.fullmatch(revision) and commit != revision):
        raise WeightsError(f"{where}: what was served is of the commit '{plain(commit, 60)}', which was not asked for; check HF_ENDPOINT")
    config = _read(path, repo, commit, where)
    if revision != commit:
        text = f"{where} may change, and is taken as it was when the Hub last answered; to load the same weights ever again, pin it: {HUB}{repo}@{commit}"
        warnings.warn(text, MerzooWarning, stacklevel=5)
    return config, config.weights_spec(f"{repo}@{commit[:12]}", f"hf://{repo}@{commit}/{WEIGHTS}")


def _read(path: Path, repo: str, commit: str, where: str) -> Config:
    """The config of a file in the cache. One that is no config is fetched again, once: the cache may be damaged, and a config has no hash to tell by."""
    try:
        return read_config(path.parent, where)
    except WeightsError as error:
        try:
            path = _download(repo, CONFIG, commit, force_download=True)
        except Exception as failure:
            raise WeightsError(f"{error}; {path} in the cache cannot be fetched again: {reason(failure)}") from failure
    return read_config(path.parent, where)


def parse(where: str) -> tuple[str, str]:
    """Repository and revision ("main" where none is given) of `hf-hub:org/repo[@revision]`. Raises `WeightsError`."""
    repo, at, revision = where.removeprefix(HUB).partition("@")
    revision = revision if at else "main"
    if COMMIT.fullmatch(revision.lower()):
        revision = revision.lower()  # the Hub knows commits in small letters alone
    if not REPO.fullmatch(repo) or not _REVISION.fullmatch(revision) or ".." in f"{repo}{revision}":
        raise WeightsError(f"'{plain(where, 120)}' is not {HUB}org/repo or {HUB}org/repo@REVISION; copy the name from the model's page")
    return repo, revision


def fetch(repo: str, file: str, revision: str, expected: str = "") -> Path:
    """A file of a repository at a commit, branch or tag, in huggingface_hub's cache. What lies there is not asked for again where the revision is a commit.

    expected: its sha256, if known; a file in the cache that is another is fetched again, once. Raises `WeightsError` that says why it cannot be had and what
    to do.
    """
    where, damaged = f"{HUB}{repo}@{plain(revision, 60)}: {file}", None
    try:
        path = _here(repo, file, revision) or _download(repo, file, revision)
        if expected and sha256(path) != expected:
            damaged = path
            path = _download(repo, file, revision, force_download=True)
            if (found := sha256(path)) != expected:
                why = f"sha256 {found[:12]}… instead of {expected[:12]}…, fetched twice"
                raise WeightsError(f"{where} is not the file that was published: {why}; ask whoever published it, or take another revision")
    except MerzooError:
        raise
    except Exception as error:  # the client raises many kinds; all mean that the file cannot be had
        if damaged:
            raise WeightsError(f"{where} is damaged in the cache ({damaged}) and cannot be fetched again: {reason(error)}") from error
        raise WeightsError(f"{where} cannot be had: {reason(error, 'it is not in the cache, and ')}") from error
    return path


def _here(repo: str, file: str, commit: str) -> Path | None:
    """The file of a commit where the client has it already, without importing the client: that takes a fifth of the time of loading ten million parameters.
    The layout of its cache is documented."""
    from huggingface_hub import constants

    if not COMMIT.fullmatch(commit):
        return None
    path = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots" / commit / file
    return path if path.is_file() else None


def _download(repo: str, file: str, revision: str, force_download: bool = False) -> Path:
    """The client's download. Beyond what the client tries again itself, so is a body that the server cannot give for a moment, or whose connection is reset."""
    from huggingface_hub import hf_hub_download

    facts: dict[str, Any] = {"library_name": "merzoo", "library_version": __version__, "force_download": force_download}
    with _retries_told():
        for wait in (1.0, 3.0):  # s
            try:
                return Path(hf_hub_download(repo, file, revision=revision, **facts))
            except Exception as error:
                status = getattr(getattr(error, "response", None), "status_code", 0)
                if status < 500 and type(error).__name__ != "ReadError":
                    raise
            time.sleep(wait)
        return Path(hf_hub_download(repo, file, revision=revision, **facts))


@contextlib.contextmanager
def _retries_told() -> Iterator[None]:
    """What the client says of each retry is for whoever sits before a terminal; elsewhere a failure is one line. HF_HUB_VERBOSITY overrules that."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    if not sys.stderr.isatty() and "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def reason(error: BaseException, absent: str = "") -> str:
    """Why the Hub's client failed, and what to do, in one line. Told by names of classes, since the client's HTTP library changes with its version.

    absent: what to say first of a file that is asked for offline.
    """
    token = _token()
    for one in causes(error):
        names = {kind.__name__ for kind in type(one).__mro__}
        if names & {"UnicodeEncodeError", "LocalProtocolError"} and not (token.isascii() and token.isprintable()):
            return "the token holds signs that no token has; copy it anew into HF_TOKEN, or log in again (`hf auth login`)"
        for name, text in _REASONS.items():
            if name in names:
                return text.format(endpoint=endpoint(), absent=absent, status=getattr(getattr(one, "response", None), "status_code", "?"))
        if "HfHubHTTPError" in names:
            return _status(one)
        if isinstance(one, OSError) and one.errno in _FULL:
            return "the disk is full; free space, or set HF_HUB_CACHE to a folder with room"
        if isinstance(one, OSError) and one.filename:
            return f"{plain(one.filename, 200)} cannot be written ({one.strerror}); set HF_HUB_CACHE to a folder of yours"
        if "Consistency check failed" in str(one):
            return "what came has another length than the file; try again, or see whether the network asks for a log-in page first"
    return f"{_safe(last_line(error))}; try again, or see `merzoo doctor`"


def causes(error: BaseException) -> list[BaseException]:
    """An error and what it came from, the error first."""
    chain = [error]
    while (deeper := chain[-1].__cause__ or (chain[-1].__context__ if not chain[-1].__suppress_context__ else None)) is not None and deeper not in chain:
        chain.append(deeper)
    return chain


_BROKEN = "the connection broke off again and again; try again later (`merzoo doctor` looks at the network)"
_REASONS = {
    "GatedRepoError": "its owners let people in one by one; ask for access on {endpoint}, then log in (`hf auth login`) or set HF_TOKEN",
    "DisabledRepoError": "the Hub has disabled this repository; look for another",
    "RevisionNotFoundError": "there is no such revision; look at the repository's commits, and give one of them, a tag or a branch",
    "RepositoryNotFoundError": "there is no such repository, or it is private ({status}); check its name, log in (`hf auth login`) or set HF_TOKEN",
    "RemoteEntryNotFoundError": "the repository has no such file at this revision; give one that `merzoo publish` made",
    "OfflineModeIsEnabled": "{absent}HF_HUB_OFFLINE forbids to ask the Hub; unset it once, or copy the cache of a machine that has it",
    "FileMetadataError": "what answered at {endpoint} is no Hub; check HF_ENDPOINT, and whether the network asks for a log-in page first",
    "ProxyError": "the proxy does not let it through; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    "TimeoutException": "{endpoint} did not answer in time; try again, or set HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT to more seconds",
    "ReadError": _BROKEN,
    "RemoteProtocolError": _BROKEN,
    "TransportError": "{endpoint} cannot be reached; check the network, proxies and HF_ENDPOINT (`merzoo doctor`)",
    "HFValidationError": "the Hub takes no such name; copy it from the model's page",
}


def _status(error: BaseException) -> str:
    """What an answer of the Hub that is none of the named errors means."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if status == 401:
        return "the Hub does not know who asks (401); log in (`hf auth login`) or set HF_TOKEN to a token that is valid"
    if status == 403:
        return "the Hub refuses it (403); check what your token may do, or ask the owners"
    if status == 429:
        return "the Hub is asked too often (429); wait a few minutes, or log in (`hf auth login`), which allows more"
    if status >= 500:
        return f"the Hub is out of order ({status}); try again later"
    if status == 407:
        return "the proxy asks who you are (407); put name and password into HTTPS_PROXY and HTTP_PROXY"
    return f"the Hub answered {status} ({_safe((str(error).splitlines() or [''])[0])}); try again, or see `merzoo doctor`"


def endpoint() -> str:
    """The address of the Hub, as it may be shown."""
    from huggingface_hub import constants

    return plain(without_secrets(constants.ENDPOINT), 100)


def _safe(text: str) -> str:
    """What the client says, without token, passwords and signatures, which it puts into its messages."""
    return plain(without_secrets(text, _token()), 300)


def _token() -> str:
    from huggingface_hub import get_token

    return get_token() or ""
