"""From a training run to the Hub and back: what another process loads from an empty cache predicts the same bits; and what the Hub may refuse."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_runs import copied

import merzoo
from merzoo.cli import main
from merzoo.data.clips import Clips
from merzoo.data.sources import open_clips
from merzoo.errors import WeightsError
from merzoo.evaluation.predicting import predict_clips
from merzoo.publish.folder import prepare
from merzoo.publish.upload import upload, url
from merzoo.training.machine import Machine

REPO = "tester/tiny"
PREDICT = """
import json, sys, warnings
import torch
torch.set_num_threads(1)
import merzoo
from merzoo.data.clips import Clips
from merzoo.data.sources import open_clips
from merzoo.errors import WeightsError
from merzoo.evaluation.predicting import predict_clips
from merzoo.training.machine import Machine

model = merzoo.load(sys.argv[1])
rows = predict_clips(model, Clips(open_clips("synthetic:tiny", model.preprocessing), "micro"), Machine())
print(json.dumps([[p.hex() for p in row["probabilities"]] for row in rows]))
"""


@pytest.fixture
def publish(trained: Path, hub: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, list[str]]]:
    """Run `merzoo publish` in this process against the loopback Hub: exit code, stdout, and lines of stderr. huggingface_hub read its settings when it was
    imported, so that they are set there."""
    from huggingface_hub import constants

    settings = {"ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "HF_HUB_CACHE": str(hub.home / "hub")}
    settings["HUGGINGFACE_CO_URL_TEMPLATE"] = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")

    def run(*more: str, repo: str = REPO, token: str = hub.token, **settings: Any) -> tuple[int, str, list[str]]:
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hub.home / "token"))
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        code = main(["publish", str(trained), "--repo", repo, *more])
        told = capsys.readouterr()
        return code, told.out, told.err.splitlines()

    return run


def refused(done: tuple[int, str, list[str]]) -> str:
    """Check that it ended as an error does, and give its one line."""
    code, out, err = done
    assert (code, out, len(err)) == (2, "", 1), done
    return err[0]


def here(trained: Path, clips_of: str = "synthetic:tiny") -> Any:
    """What the weights of the run predict in this process."""
    model = merzoo.load("ststnet,strategy.epochs=2", weights=trained / "weights.safetensors")
    rows = predict_clips(model, Clips(open_clips(clips_of, model.preprocessing), "micro"), Machine())
    return [[p.hex() for p in row["probabilities"]] for row in rows]


def answer(done: Any) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_is_published_predicts_the_same_bits_elsewhere(trained: Path, hub: Any, hub_client: Any, tmp_path: Path) -> None:
    done = hub_client.merzoo("publish", str(trained), "--repo", REPO, HF_TOKEN=hub.token)
    assert done.returncode == 0, done.stderr
    commit = hub.repo(REPO).head
    assert f"published: {hub.endpoint}/{REPO}" in done.stdout and f'merzoo.load("hf-hub:{REPO}@{commit}")' in done.stdout
    files = hub.repo(REPO).files()
    assert sorted(files) == [".gitattributes", "README.md", "config.json", "model.safetensors"]
    assert files["model.safetensors"] == (trained / "weights.safetensors").read_bytes()
    assert len(hub.repo(REPO).commits) == 2  # git's attributes, and one with all files
    there = answer(hub_client.python(PREDICT, f"hf-hub:{REPO}@{commit}"))
    assert there == here(trained) and len(there) == 16
    again = hub_client.merzoo("publish", str(trained), "--repo", REPO, HF_TOKEN=hub.token)
    assert again.returncode == 0 and "nothing to change" in again.stdout and f"@{commit}" in again.stdout, again
    assert hub.repo(REPO).head == commit and len(hub.seen("POST", "*/commit/*")) == 1


def test_a_private_model_needs_its_token(publish: Callable[..., Any], trained: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = publish("--private", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, []) and hub.repo(REPO).private and facts["load"] == f"hf-hub:{REPO}@{hub.repo(REPO).head}"
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(WeightsError, match="set HF_TOKEN"):
        merzoo.load(facts["load"])
    monkeypatch.setenv("HF_TOKEN", hub.token)
    state = merzoo.load("ststnet,strategy.epochs=2", weights=trained / "weights.safetensors").saved()
    assert all(torch.equal(value, state[key]) for key, value in merzoo.load(facts["load"]).saved().items())
    assert publish()[0] == 0 and hub.repo(REPO).private  # what is private stays so


def test_publishing_does_not_make_a_public_repository_private(publish: Callable[..., Any], hub: Any) -> None:
    before = hub.put(REPO, {"README.md": "mine"})
    assert "is public, and publishing does not change that" in refused(publish("--private"))
    assert hub.repo(REPO).head == before


def test_a_file_of_somebody_else_stays(publish: Callable[..., Any], hub: Any) -> None:
    hub.put(REPO, {"README.md": "mine", "notes.txt": "kept"})
    code, out, _ = publish()
    assert code == 0 and "README.md          changed" in out and "config.json        new" in out
    assert hub.repo(REPO).files()["notes.txt"] == b"kept" and hub.repo(REPO).files()["README.md"].startswith(b"---\nlibrary_name: merzoo\n")


def test_what_somebody_changes_meanwhile_is_not_overwritten(publish: Callable[..., Any], hub: Any) -> None:
    hub.put(REPO, {"README.md": "mine"})
    hub.fault("*/preupload/*", "delay", seconds=2)
    theirs = []

    def somebody() -> None:
        while not hub.seen("POST", "*/preupload/*"):
            time.sleep(0.02)
        theirs.append(hub.put(REPO, {"README.md": "theirs"}))

    thread = threading.Thread(target=somebody, daemon=True)
    thread.start()
    assert "somebody has changed it meanwhile (412); look at it, and publish again" in refused(publish())
    thread.join()
    assert theirs == [hub.repo(REPO).head] and hub.repo(REPO).files()["README.md"] == b"theirs"


@pytest.mark.parametrize(
    ("token", "repo", "told"),
    [
        ("", REPO, "does not know who publishes (401); log in (`hf auth login`) or set HF_TOKEN"),
        ("hf_not_a_token", REPO, "your token is refused (401): it is mistyped, revoked or too old; set HF_TOKEN"),
        ("reader", REPO, "(403); take one that may write to tester, or give another --repo"),
        ("owner", "strangers/tiny", "(403); take one that may write to strangers, or give another --repo"),
    ],
)
def test_who_may_not_publish_is_told_what_to_do(publish: Callable[..., Any], hub: Any, token: str, repo: str, told: str) -> None:
    given = {"reader": hub.reader, "owner": hub.token}.get(token, token)
    assert told in refused(publish(repo=repo, token=given))
    assert not hub.repos


@pytest.mark.parametrize(
    ("token", "repo", "told"),
    [
        ("owner", "strangers/tiny", "merzoo: warning: your token is of tester, who is not in strangers; give --repo tester/NAME"),
        ("reader", "reader/tiny", "merzoo: warning: your token of reader may only read"),
        ("hf_mistyped", REPO, "your token is refused (401): it is mistyped, revoked or too old"),
        ("owner", "Org/tiny", ""),
        ("", "strangers/tiny", ""),
    ],
)
def test_a_dry_run_says_who_may_not_publish_there(publish: Callable[..., Any], hub: Any, tmp_path: Path, token: str, repo: str, told: str) -> None:
    given = {"reader": hub.reader, "owner": hub.token}.get(token, token)
    code, out, err = publish("--dry-run", "--out", str(tmp_path / "out"), repo=repo, token=given)
    assert code == 0 and told in out + "".join(err) and len(err) <= bool(told), (out, err)
    assert len(hub.seen("GET", "/api/whoami-v2")) <= bool(token)  # the Hub lets nobody ask that often


def test_a_licence_and_scores_that_would_go_are_told(publish: Callable[..., Any], evaluated: Path, hub: Any, tmp_path: Path) -> None:
    code, out, err = publish("--scores", str(evaluated), "--no-data", "--licence", "cc-by-nc-4.0")
    assert (code, err) == (0, []) and "becom" not in out
    metrics = json.loads(hub.repo(REPO).files()["config.json"])["metrics"]
    scores = f"UF1 {metrics['uf1']:.4g}, UAR {metrics['uar']:.4g}, accuracy {metrics['accuracy']:.4g} under loso on synthetic:tiny"
    code, out, err = publish("--dry-run", "--out", str(tmp_path / "out"))
    assert (code, err) == (0, []) and "weights:" not in out
    assert "licence: cc-by-nc-4.0 becomes apache-2.0 (--licence cc-by-nc-4.0 keeps it)\n" in out
    assert f"the scores there now ({scores}) would go; give --scores to keep or renew them\n" in out
    told = json.loads(publish("--json")[1])["differences"]
    assert [(one["what"], one["was"], one["becomes"]) for one in told] == [("licence", "cc-by-nc-4.0", "apache-2.0"), ("scores", scores, "none")]
    assert "licence: apache-2.0 has become mit (--licence apache-2.0 keeps it)\n" in publish("--licence", "mit")[1]


@pytest.mark.parametrize(
    ("pattern", "code", "told"),
    [
        ("/api/repos/create", 404, "there is no tester on"),
        ("*/commit/*", 409, "(409)"),
        ("*/commit/*", 403, "(403)"),
        ("/api/repos/create", 500, "the Hub is out of order (500); try again later"),
    ],
)
def test_the_hubs_refusals_are_one_line(publish: Callable[..., Any], hub: Any, pattern: str, code: int, told: str) -> None:
    hub.fault(pattern, "status", times=None, code=code)
    assert told in refused(publish())
    if REPO in hub.repos:
        assert sorted(hub.repo(REPO).files()) == [".gitattributes"]  # all files or none


def test_no_network_is_one_line_and_changes_nothing(publish: Callable[..., Any], trained: Path) -> None:
    before = sorted(path.name for path in trained.iterdir())
    assert "cannot be reached; check the network" in refused(publish(ENDPOINT="http://127.0.0.1:9"))
    assert refused(publish(HF_HUB_OFFLINE=True)).endswith("HF_HUB_OFFLINE forbids to ask the Hub; unset it to publish")  # no cache helps
    assert sorted(path.name for path in trained.iterdir()) == before


def test_weights_that_changed_after_they_were_read_are_not_published(
    publish: Callable[..., Any], trained: Path, hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare(copied(trained, tmp_path / "run"), REPO)
    made.weights.write_bytes(made.weights.read_bytes()[:-1] + b"x")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.setattr("merzoo.digests.sha256", lambda path: made.config.sha256)  # what is remembered of a file may be old
    with pytest.raises(WeightsError, match="changed while they were made ready"):
        upload(made)
    assert sorted(hub.repo(REPO).files()) == [".gitattributes"]


def test_the_password_of_an_endpoint_is_not_shown(publish: Callable[..., Any], hub: Any) -> None:
    secret = hub.endpoint.replace("://", "://alice:s3cret@")
    hub.fault("/api/repos/create", "status", code=404)
    assert f"there is no tester on {hub.endpoint}, or" in refused(publish(ENDPOINT=secret))
    assert url(REPO) == f"{hub.endpoint}/{REPO}"


def test_a_folder_that_was_only_written_loads_too(trained: Path, site: Any, tmp_path: Path) -> None:
    prepare(trained, REPO).write(tmp_path / "out")
    assert answer(site.python(PREDICT, f"local-dir:{tmp_path / 'out'}")) == here(trained)
