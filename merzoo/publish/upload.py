"""To the Hub: what would change there, and one commit that changes it. huggingface_hub does the transfer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from merzoo.errors import MerzooError, UsageError, WeightsError
from merzoo.hub import HUB, causes, endpoint, reason
from merzoo.publish.account import REFUSED
from merzoo.publish.before import Difference, differences
from merzoo.publish.folder import Publication
from merzoo.published import WEIGHTS
from merzoo.text import plain
from merzoo.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

What = Literal["new", "changed", "the same"]


@dataclass(frozen=True)
class Remote:
    """A repository as it is now. commit: its newest, "" where there is no repository. digests: file -> sha256 of a large file, SHA-1 of git's blob of a small
    one."""

    commit: str = ""
    private: bool = False
    digests: dict[str, str] | None = None


@dataclass(frozen=True)
class Change:
    """What becomes of a file of the repository."""

    name: str
    what: What
    size: int


def look(repo: str) -> Remote:
    """The repository as it is now; one without a commit where there is none that the token may see. Raises `WeightsError` where the Hub cannot be asked."""
    try:
        info = _api().model_info(repo, files_metadata=True)
    except Exception as error:  # the client raises many kinds
        if _is(error, "RepositoryNotFoundError") and not _is(error, "GatedRepoError"):
            return Remote()
        raise _failed(error, repo, "cannot be looked at") from error
    digests = {}
    for file in info.siblings or ():
        large: Any = file.lfs
        digests[file.rfilename] = (large.get("sha256") if isinstance(large, dict) else getattr(large, "sha256", None)) or str(file.blob_id)
    return Remote(str(info.sha), bool(info.private), digests)


def changes(publication: Publication, remote: Remote) -> list[Change]:
    """What publishing would do to each file, in order of name. Files of the repository that a published model has not are left as they are."""
    there = remote.digests or {}
    found: list[Change] = []
    for name, size in sorted(publication.sizes().items()):
        what: What = "new" if name not in there else "the same" if there[name] in set(_digests(publication, name)) else "changed"
        found.append(Change(name, what, size))
    return found


def compared(publication: Publication, remote: Remote) -> list[Difference]:
    """What publishing would change for those who read the repository."""
    return differences(publication.repo, remote.commit, remote.digests or {}, publication.config)


def left(publication: Publication, remote: Remote) -> list[str]:
    """Files of the repository that publishing does not touch, but for git's own."""
    return sorted(name for name in remote.digests or {} if name not in publication.sizes() and name != ".gitattributes")


def _digests(publication: Publication, name: str) -> Iterator[str]:
    """As the Hub may know a file: by sha256 where it is large, else as git does."""
    if name == WEIGHTS:
        yield publication.config.sha256
        return
    content = publication.texts[name].encode()
    yield hashlib.sha256(content).hexdigest()
    yield hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def upload(publication: Publication, private: bool = False) -> tuple[str, list[Change], list[Difference]]:
    """Publish in one commit, on a repository that is made where there is none; the commit (40 hex digits), the files and what else it changed.

    Where nothing would change no commit is made, and the newest is given. Raises `UsageError` for a public repository that is asked to be private,
    `WeightsError` where the Hub refuses, somebody else has changed the repository meanwhile, or it cannot be reached.
    """
    repo, remote = publication.repo, look(publication.repo)
    if not remote.commit:
        try:
            _api().create_repo(repo, private=private or None, exist_ok=True)
        except Exception as error:
            raise _failed(error, repo, "cannot be made") from error
        remote = look(repo)
        if not remote.commit:
            raise WeightsError(f"{repo} was made, but the Hub does not show it to you; give HF_TOKEN a token that may also read it")
    if private and not remote.private:
        raise UsageError(f"{repo} is public, and publishing does not change that; make it private in its settings, leave out --private, or give another name")
    todo = changes(publication, remote)
    if all(change.what == "the same" for change in todo):
        return remote.commit, todo, []
    other = compared(publication, remote)
    return _commit(publication, remote), todo, other


def _commit(publication: Publication, remote: Remote) -> str:
    from huggingface_hub import CommitOperationAdd

    config = publication.config
    try:
        operations: list[Any] = [CommitOperationAdd(name, text.encode()) for name, text in publication.texts.items()]
        weights = CommitOperationAdd(WEIGHTS, str(publication.weights))
        if (found := weights.upload_info.sha256.hex()) != config.sha256:  # a training that was done again would make a repository that nobody can load
            why = f"sha256 {found[:12]}… instead of {config.sha256[:12]}…"
            raise WeightsError(f"weights {publication.weights} changed while they were made ready: {why}; publish again")
        operations.append(weights)
        message = plain(f"{config.model} ({config.preset}), published with merzoo {__version__}", 200)
        made = _api().create_commit(publication.repo, operations, commit_message=message, parent_commit=remote.commit)
    except MerzooError:
        raise
    except Exception as error:
        raise _failed(error, publication.repo, "was not changed") from error
    return str(made.oid)


def url(repo: str) -> str:
    """The page of a repository."""
    return f"{endpoint()}/{repo}"


def pinned(repo: str, commit: str) -> str:
    """The name that loads a published model, ever the same."""
    return f"{HUB}{repo}@{commit}"


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="merzoo", library_version=__version__)


def _is(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for one in causes(error) for kind in type(one).__mro__)


def _failed(error: BaseException, repo: str, what: str) -> WeightsError:
    """What went wrong and what to do, in one line."""
    from huggingface_hub import get_token

    if _is(error, "OfflineModeIsEnabled"):
        return WeightsError(f"{repo} {what}: HF_HUB_OFFLINE forbids to ask the Hub; unset it to publish")
    owner = repo.partition("/")[0]
    status = next((code for one in causes(error) if (code := getattr(getattr(one, "response", None), "status_code", None))), None)
    told = {
        401: REFUSED if get_token() else "the Hub does not know who publishes (401); log in (`hf auth login`) or set HF_TOKEN to a token that may write",
        403: f"your token may not do that (403); take one that may write to {owner}, or give another --repo",
        404: f"there is no {owner} on {endpoint()}, or you may not see it (404); check --repo, or give HF_TOKEN a token that may write",
        409: "somebody else changes it at this moment (409); look at it, and publish again",
        412: "somebody has changed it meanwhile (412); look at it, and publish again",
        413: "it is too large for the Hub (413); publish a smaller preset",
    }.get(status if isinstance(status, int) else 0)
    return WeightsError(f"{repo} {what}: {told or reason(error)}")
