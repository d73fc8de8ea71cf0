"""What is imported when: the package and its listings stay free of the heavy libraries."""

from __future__ import annotations

import merzoo

HEAVY = ("torch", "torchvision", "timm", "sklearn", "pandas", "cv2", "numpy", "huggingface_hub", "rich", "jinja2")
LOADED = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"


def test_import_merzoo_imports_nothing_heavy(site):
    done = site.python(f"import merzoo; {LOADED}; print('typer' in sys.modules, 'importlib.metadata' in sys.modules)")
    assert done.stdout.splitlines() == ["[]", "False False"], done.stderr


def test_the_listing_verbs_import_nothing_heavy(site):
    for arguments in (["list"], ["list", "--json"], ["info", "linear"], ["plugins"], ["--help"], ["predict", "--hlep"]):
        verbs = arguments[:1] != ["predict"]
        done = site.python(f"from merzoo.cli import main; code = main({arguments!r}); {LOADED}")
        assert done.stdout.splitlines()[-1] == "[]", done
        assert (done.stderr == "") is verbs, done.stderr


def test_every_name_is_there_and_documented():
    assert merzoo.__all__ == sorted(merzoo.__all__)
    for name in merzoo.__all__:
        assert getattr(merzoo, name) is not None and name in dir(merzoo)
        assert name == "__version__" or getattr(merzoo, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(merzoo, "no_such_name")


def test_reading_data_sets_does_not_wait_for_torch(site, tmp_path):
    for arguments in (["data", "verify", "casme2"], ["data", "prepare", "casme2", "--root", "nowhere"]):
        done = site.python(f"from merzoo.cli import main; code = main({arguments!r}); {LOADED}", MERZOO_CACHE=str(tmp_path))  # where nothing is remembered
        assert not {"torch", "timm", "sklearn"} & set(eval(done.stdout.splitlines()[-1])), done
        assert done.stderr.count("\n") == 1
