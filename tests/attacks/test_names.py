"""Names that speak to terminals and browsers: of entry points, distributions, models, and the labels of published weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacked import CARD, LABELS

import merzoo
from merzoo.files import dumps
from merzoo.published import CONFIG, WEIGHTS, config_of
from merzoo.recognizer import assemble
from merzoo.specs import WeightsSpec
from merzoo.weights import write

HOSTILE = ["<script>alert(1)</script>", "\x1b[2J\x1b]0;owned\x07", "../../etc/passwd", "a\nmerzoo: all is well", "\u202egniht", "a" * 5000, "$(id)", "=1+1"]


@pytest.mark.parametrize("name", [*HOSTILE, "merzoo-builtin"])
def test_an_entry_point_of_any_name_is_shown_as_text_and_breaks_nothing(site: Any, name: str) -> None:
    source = "from merzoo.specs import ModelSpec\ndef merzoo_register(register):\n    register.model(ModelSpec('pear', 'a pear', 'linear-net'))\n"
    site.distribution("hostile", source=source, entry_points=f"[merzoo]\n{name} = hostile\n")
    listed, shown, told = site.merzoo("list"), site.merzoo("plugins"), site.merzoo("plugins", "--json")
    for done in (listed, shown, told):
        assert done.returncode == 0 and all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
    assert "miacnet" in listed.stdout and "merzoo: all is well" not in shown.stdout.splitlines()
    ours = [record for record in json.loads(told.stdout) if record["distribution"] == "merzoo"]
    assert [record["status"] for record in ours] == ["ok"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_of_such_a_name_is_refused_and_named_safely(site: Any, name: str) -> None:
    source = "from merzoo.specs import ModelSpec\ndef merzoo_register(register):\n    register.model(ModelSpec(NAME, 'x', 'y'))\n"
    site.distribution("hostile", source=source.replace("NAME", repr(name)))
    shown, listed = site.merzoo("plugins"), site.merzoo("list")
    for done, told in ((shown, shown.stdout), (listed, listed.stderr)):
        assert done.returncode == 0 and all(line.isprintable() and len(line) < 1000 for line in (done.stdout + done.stderr).splitlines())
        assert "refused" in told and "hostile" in told


def test_labels_with_tags_are_text_wherever_they_are_shown(folder: Path, tmp_path: Path) -> None:
    """They are refused with escapes for terminals (see the configs); a < is a letter like others, and is escaped where a browser looks."""
    labels = ["<script>alert(1)</script>", "[red]b[/red]", "c&d"]
    recognizer = assemble(merzoo.load(f"local-dir:{folder}").spec, "small", labels)
    card = {**CARD, "labels": labels, "trained_on": {"data": "<img src=x onerror=alert(1)>", "subjects": ["a:b"]}}
    write(folder / WEIGHTS, recognizer.saved(), card)
    (folder / CONFIG).write_text(dumps(config_of(recognizer, folder / WEIGHTS, card).to_json()))
    loaded = merzoo.load(f"local-dir:{folder}")
    assert list(loaded.labels) == labels != LABELS and isinstance(loaded.weights, WeightsSpec)
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
    found = loaded.predict(frames, face="none", interval=(0, 5, 11))
    page = found._repr_html_()
    assert "<script" not in page and "<img src=x" not in page and page.count("<") == 1
    written = found.save(tmp_path / "out")
    assert sorted(path.name for path in written) == ["prediction.json", "prediction.png"]
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["events"][0]["probabilities"].keys() == set(labels)
