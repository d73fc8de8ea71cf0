"""`merzoo doctor` in processes where something is broken: what is said, the exit code, and that no traceback and no secret gets out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from merzoo.doctor import CHECKS

PLUGIN = "def merzoo_register(register):\n    register.head('pear', 'math:sqrt')\n"
SECRET = "hf_secretsecretsecret"


def info(site, name, version):
    """A distribution's metadata alone."""
    folder = site.root / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", ""])
    (folder / "METADATA").write_text(text, encoding="utf-8")


@pytest.fixture
def look(site, tmp_path):
    """Run some checks in a process of their own, with an empty home; gives them by state and name, and what was printed."""

    def run(*names, before="", **environment):
        code = (
            f"import dataclasses, json\n{before}\nfrom merzoo.doctor import examine\n"
            f"print(json.dumps([dataclasses.asdict(check) for check in examine({names!r})]))"
        )
        home = {"HF_HOME": str(tmp_path / "hf"), "MERZOO_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
        done = site.python(code, **home | environment)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        return json.loads(done.stdout)

    return run


@contextlib.contextmanager
def hub(status=200, body=b"[]", kind="application/json", **headers):
    """A server on loopback that always answers the same; gives its address and the requests it saw."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("authorization")))
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_all_is_well(site, tmp_path):
    site.distribution("pear", source=PLUGIN)
    home = tmp_path / "home"
    home.mkdir()
    before = files_below(tmp_path)
    with hub() as (endpoint, seen):
        environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "MERZOO_CACHE": str(home / "merzoo"), "HOME": str(home), "OMP_NUM_THREADS": "1"}
        done = site.merzoo("doctor", "--json", HF_TOKEN="", **environment)
        assert [path for path, _ in seen] == ["/api/models?limit=1"]
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    names = [check["name"] for check in found["checks"]]
    assert list(dict.fromkeys(names)) == list(CHECKS)
    assert not [check for check in found["checks"] if check["state"] == "fail"]
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["torch"]["facts"]["computes"] is True and by_name["torch"]["facts"]["threads"] == 1
    assert by_name["hub"]["state"] == "ok" and by_name["hub"]["facts"]["status"] == 200 and by_name["hub"]["facts"]["token"] is False
    assert by_name["plugins"]["facts"]["plugins"]["pear"] == "ok"
    assert found["result"] == ("warn" if any(check["state"] == "warn" for check in found["checks"]) else "ok")
    assert files_below(tmp_path) == before


def test_all_is_broken_and_each_is_told(site, tmp_path):
    for module, source in {
        "torch": "raise OSError('libcudart.so.13: cannot open \\x1b[31m')",
        "cv2": "__version__ = '5.0'",
        "huggingface_hub": "import no_such_thing",
        "pluggy": "1 / 0",
    }.items():
        (site.root / f"{module}.py").write_text(source, encoding="utf-8")
    (tmp_path / "cache").write_text("a file in place of the folder", encoding="utf-8")
    environment = {"MERZOO_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    done = site.merzoo("doctor", **environment)
    assert (done.returncode, done.stderr) == (1, "") and "Traceback" not in done.stdout and "\x1b" not in done.stdout
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert set(failed) >= {"opencv", "torch", "cache", "plugins"}
    assert r"libcudart.so.13: cannot open \x1b[31m" in done.stdout and "cv2 has no CascadeClassifier (5.0)" in done.stdout
    assert "huggingface_hub does not work: ModuleNotFoundError: No module named 'no_such_thing'" in done.stdout
    marked = [line for line in done.stdout.splitlines() if line.startswith(("FAIL", "warn"))]
    assert done.stdout.count("mend: ") == len(marked)
    assert done.stdout.splitlines()[-1].startswith(f"{len(failed)} failed, ")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os; os.abort()", "it crashed (SIGABRT)"),
        ("import os; os._exit(3)", "exit code 3"),
        ("raise SystemExit('bye')", "bye"),
        ("x = 1", "AttributeError"),
    ],
)
def test_a_torch_that_takes_its_process_along(site, look, source, told):
    (site.root / "torch.py").write_text(source, encoding="utf-8")
    torch, gpu = look("torch", "gpu", PATH="")
    assert torch["state"] == "fail" and told in torch["text"] and torch["remedy"]
    assert gpu["state"] == "ok"


def test_a_torch_that_hangs(site, look):
    (site.root / "torch.py").write_text("import time; time.sleep(60)", encoding="utf-8")
    (torch,) = look("torch", before="import merzoo.doctor.check as check; check.PROBE_SECONDS = 2")
    assert torch["state"] == "fail" and "no answer within 2 s" in torch["text"]


def test_a_gpu_that_torch_does_not_see(look, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho '570.1, NVIDIA H200'\n", encoding="utf-8")
    (tmp_path / "nvidia-smi").chmod(0o755)
    (gpu,) = look("gpu", PATH=f"{tmp_path}:/bin:/usr/bin", CUDA_VISIBLE_DEVICES="")
    assert gpu["state"] == "warn" and "the driver (570.1) knows NVIDIA H200, but this torch" in gpu["text"] and "CUDA_VISIBLE_DEVICES" in gpu["remedy"]


def test_libraries_that_are_too_old_or_missing(site, look):
    info(site, "timm", version="0.4")
    info(site, "opencv-python", version="4.12")
    info(site, "pandas", version="of old")
    found = {(check["name"], check["state"]): check for check in look("dependencies", "opencv")}
    assert "0.4; merzoo requires timm>=" in found["timm", "fail"]["text"] and found["timm", "fail"]["remedy"].startswith("pip install 'timm>=")
    assert found["pandas", "fail"]["text"].startswith("of old; merzoo requires pandas>=")
    assert "overwrite each other's files" in found["opencv", "warn"]["text"] and "opencv-python 4.12" in found["opencv", "warn"]["text"]


def test_plugins_with_problems(site, look):
    site.distribution("merzoo-odd", module="odd", source="raise RuntimeError('no')", point="odd")
    site.distribution("new", source=PLUGIN)
    (site.root / "new-1.2.dist-info" / "METADATA").write_text("Name: new\nVersion: 1.2\nRequires-Dist: merzoo>=9\n", encoding="utf-8")
    site.distribution("hungry", source=PLUGIN.replace("pear", "plum"))
    (site.root / "hungry-1.2.dist-info" / "METADATA").write_text("Name: hungry\nVersion: 1\nRequires-Dist: no-such-lib>=2\n", encoding="utf-8")
    site.distribution("lazy", source="import time; time.sleep(0.3)\n" + PLUGIN.replace("pear", "fig"))
    first, *others = look("plugins", MERZOO_PLUGINS="-no-such-plugin")
    assert first["state"] == "ok" and all(check["state"] == "warn" and check["remedy"] for check in others)
    told = "\n".join(f"{check['text']} | {check['remedy']}" for check in others)
    for words in (
        "odd (distribution merzoo-odd) failed: RuntimeError: no (odd.py:1); mend the code there "
            "| update or uninstall merzoo-odd, or block it: MERZOO_PLUGINS=-odd",
        "new needs merzoo>=9",
        "hungry requires no-such-lib>=2, which is not installed",
        "lazy took ",
        "MERZOO_PLUGINS names 'no-such-plugin'",
    ):
        assert words in told, told
    assert sum("s to load" not in check["text"] for check in others) == 4  # a busy machine may load any plugin slowly


def test_data_that_are_gone(look, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "roots.json").write_text(json.dumps({"casme2": str(tmp_path / "gone"), "samm": str(tmp_path)}), encoding="utf-8")
    gone, there = look("data")
    assert (gone["state"], there["state"]) == ("warn", "ok") and "samm" in there["text"] and "casme2" not in there["text"]
    assert "casme2 was in" in gone["text"] and gone["remedy"].endswith("merzoo data prepare casme2 --root DIR")


def test_folders(look, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "clip.u8").write_bytes(b"x" * 2_000_000)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "hub").write_text("no folder", encoding="utf-8")
    cache, hub_cache, disk = look("cache", "hub-cache", "disk")
    assert cache["facts"]["bytes"] == 2_000_000 and cache["facts"]["writable"] and "2.0 MB" in cache["text"]
    assert hub_cache["state"] == "warn" and "is no folder" in hub_cache["text"] and "HF_HUB_CACHE" in hub_cache["remedy"]
    assert disk["facts"]["free_bytes"] > 0
    assert files_below(tmp_path / "cache") == ["clip.u8"]
    (full,) = look("disk", before="import shutil, types\nshutil.disk_usage = lambda path: types.SimpleNamespace(free=999)")
    assert full["state"] == "fail" and "999 bytes free" in full["text"]


@pytest.mark.parametrize(
    ("status", "kind", "token", "state", "remedy"),
    [
        (200, "application/json", SECRET, "ok", ""),
        (200, "text/html; charset=utf-8", "", "warn", "this is no Hub"),
        (401, "application/json", "", "warn", "it wants a token"),
        (401, "application/json", SECRET, "warn", "the token is refused"),
        (404, "text/html", "", "warn", "this is no Hub"),
        (429, "application/json", "", "warn", "too many requests"),
        (500, "application/json", "", "warn", "try again later"),
    ],
)
def test_what_the_hub_answers(look, status, kind, token, state, remedy):
    with hub(status, b"{}", kind) as (endpoint, seen):
        (check,) = look("hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0", HF_TOKEN=token)
    assert (check["state"], check["facts"]["status"]) == (state, status)
    assert remedy in check["remedy"] and bool(remedy) is bool(check["remedy"])
    assert check["facts"]["token"] is bool(token) and SECRET not in json.dumps(check)
    assert seen == ([("/api/whoami-v2", f"Bearer {SECRET}")] if token else [("/api/models?limit=1", None)])


def test_a_hub_that_is_not_there(look):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://someone:{SECRET}@127.0.0.1:{closed.getsockname()[1]}"
    (check,) = look("hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0", HF_TOKEN=SECRET, HTTPS_PROXY="")
    assert check["state"] == "warn" and "cannot be reached" in check["text"] and SECRET not in json.dumps(check)
    with hub() as (endpoint, seen):
        (check,) = look("hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0", HF_TOKEN=f"{SECRET}\x0bx")  # no header can hold it, and the client says so
    assert check["state"] == "warn" and "Illegal header" in check["text"] and SECRET not in json.dumps(check) and seen == []
    (check,) = look("hub", HF_ENDPOINT="http://[::1", HF_HUB_OFFLINE="0")
    assert check["state"] == "warn"


def test_a_hub_that_does_not_answer(look):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        slow = "import merzoo.doctor.hub as hub; hub.SECONDS = 30; hub.DEADLINE = 0.5"
        (check,) = look("hub", before=slow, HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}", HF_HUB_OFFLINE="0")
    assert check["state"] == "warn" and "no answer within 0.5 s" in check["text"]


def test_a_proxy_is_used_and_named(look):
    with hub() as (endpoint, seen):
        (check,) = look("hub", HF_ENDPOINT="http://hub.invalid", HF_HUB_OFFLINE="0", HTTP_PROXY=endpoint, http_proxy=endpoint, NO_PROXY="", no_proxy="")
    assert check["facts"]["status"] == 200 and "through the proxy of HTTP_PROXY" in check["text"]
    assert [path for path, _ in seen] == ["http://hub.invalid/api/models?limit=1"]


def test_offline_nothing_is_asked(look):
    with hub() as (endpoint, seen):
        (check,) = look("hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1")
    assert check["state"] == "ok" and "HF_HUB_OFFLINE is set" in check["text"] and seen == []


def test_the_help_says_the_exit_codes(site):
    text = " ".join(site.merzoo("doctor", "--help").stdout.split())
    assert "Exit code 0 where all is well or there are warnings alone, 1 where something fails" in text
