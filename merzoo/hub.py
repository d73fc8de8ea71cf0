"""Models that others published: on the Hugging Face Hub, or in a folder. huggingface_hub does transfer, cache, locks and retries; here its failures become
one line each. Its settings hold: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HOME and HF_HUB_CACHE, HF_HUB_DOWNLOAD_TIMEOUT, and the proxies'."""

from __future__ import annotations

import errno
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from merzoo.entries import last_line
from merzoo.errors import MerzooWarning, WeightsError
from merzoo.published import CONFIG, WEIGHTS, Config, read_config
from merzoo.specs import WeightsSpec
from merzoo.text import plain
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
    if where.startswith(FOLDER):
        folder = Path(where.removeprefix(FOLDER)).expanduser()
        config = read_config(folder, where)
        return Published(where, config, folder / WEIGHTS, config.weights_spec(plain(folder.resolve().name, 80) or "folder", str(folder / WEIGHTS)))
    repo, revision = parse(where)
    path = fetch(repo, CONFIG, revision)
    commit = path.parent.name  # huggingface_hub keeps a file as snapshots/COMMIT/FILE
    if not COMMIT.fullmatch(commit):
        raise WeightsError(f"{where}: the Hub's cache does not say which commit {path} is of; delete it and load again")
    config = read_config(path.parent, where)
    if revision != commit:
        warnings.warn(f"{where} may change; to load the same weights ever again, pin it: {HUB}{repo}@{commit}", MerzooWarning, stacklevel=4)
    source = f"hf://{repo}@{commit}/{WEIGHTS}"
    return Published(where, config, fetch(repo, WEIGHTS, commit), config.weights_spec(f"{repo}@{commit[:12]}", source))


def parse(where: str) -> tuple[str, str]:
    """Repository and revision ("main" where none is given) of `hf-hub:org/repo[@revision]`. Raises `WeightsError`."""
    repo, at, revision = where.removeprefix(HUB).partition("@")
    revision = revision if at else "main"
    if not REPO.fullmatch(repo) or not _REVISION.fullmatch(revision) or ".." in f"{repo}{revision}":
        raise WeightsError(f"'{plain(where, 120)}' is not {HUB}org/repo or {HUB}org/repo@REVISION; copy the name from the model's page")
    return repo, revision


def fetch(repo: str, file: str, revision: str) -> Path:
    """A file of a repository at a commit, branch or tag, in huggingface_hub's cache. What lies there is not asked for again where the revision is a commit.

    Raises `WeightsError` that says why it cannot be had and what to do.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, file, revision=revision, library_name="merzoo", library_version=__version__))
    except Exception as error:  # the client raises many kinds; all mean that the file cannot be had
        raise WeightsError(f"{HUB}{repo}@{plain(revision, 60)}: {file} cannot be had: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Why the Hub's client failed, and what to do, in one line. Told by names of classes, since the client's HTTP library changes with its version."""
    chain = [error]
    while (deeper := chain[-1].__cause__ or (chain[-1].__context__ if not chain[-1].__suppress_context__ else None)) is not None and deeper not in chain:
        chain.append(deeper)
    for one in chain:
        names = {kind.__name__ for kind in type(one).__mro__}
        for name, text in _REASONS.items():
            if name in names:
                return text.format(endpoint=_endpoint(), status=getattr(getattr(one, "response", None), "status_code", "?"))
        if "HfHubHTTPError" in names:
            return _status(one)
        if isinstance(one, OSError) and one.errno in _FULL:
            return "the disk is full; free space, or set HF_HUB_CACHE to a folder with room"
        if isinstance(one, PermissionError):
            return f"{plain(one.filename, 200)} may not be written; set HF_HUB_CACHE to a folder of yours"
        if "Consistency check failed" in str(one):
            return "the answer was cut short; try again"
    return f"{last_line(error)}; try again, or see `merzoo doctor`"


_REASONS = {
    "GatedRepoError": "its owners let people in one by one; ask for access on {endpoint}, then log in (`hf auth login`) or set HF_TOKEN",
    "DisabledRepoError": "the Hub has disabled this repository; look for another",
    "RevisionNotFoundError": "there is no such revision; look at the repository's commits, and give one of them, a tag or a branch",
    "RepositoryNotFoundError": "there is no such repository, or it is private ({status}); check its name, log in (`hf auth login`) or set HF_TOKEN",
    "RemoteEntryNotFoundError": "the repository has no such file at this revision; give one that `merzoo publish` made",
    "OfflineModeIsEnabled": "it is not in the cache, and HF_HUB_OFFLINE forbids to ask for it; unset it once, or copy the cache",
    "FileMetadataError": "what answered at {endpoint} is no Hub; check HF_ENDPOINT, and whether the network asks for a log-in page first",
    "ProxyError": "the proxy does not let it through; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    "TimeoutException": "{endpoint} did not answer in time; try again, or set HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT to more seconds",
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
    return f"the Hub answered {status} ({last_line(error)}); try again, or see `merzoo doctor`"


def _endpoint() -> str:
    from huggingface_hub import constants

    return plain(constants.ENDPOINT, 100)
