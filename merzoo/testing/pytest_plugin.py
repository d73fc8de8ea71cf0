"""The checks of a plugin as tests. pytest finds this module by itself where merzoo is installed; it costs nothing until a test asks for the fixture:

    def test_contract(merzoo_check):
        merzoo_check()

runs once for each check of the plugin that `merzoo_plugin = "NAME"` in the pytest section of pyproject.toml names, or `pytest --merzoo-plugin NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from merzoo.testing.outcomes import Check

NAME = "merzoo_plugin"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Whom to check."""
    parser.getgroup("merzoo").addoption("--merzoo-plugin", metavar="NAME", help="the plugin of merzoo that the fixture merzoo_check checks")
    parser.addini(NAME, "the plugin of merzoo that the fixture merzoo_check checks", default="")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test a check."""
    if "merzoo_check" not in metafunc.fixturenames:
        return
    from merzoo.errors import MerzooError
    from merzoo.testing.plugin_checks import plugin_checks

    name = metafunc.config.getoption("--merzoo-plugin") or metafunc.config.getini(NAME)
    if not name:
        raise pytest.UsageError(f"merzoo_check: whom to check? give --merzoo-plugin NAME, or {NAME} = \"NAME\" under [tool.pytest.ini_options]")
    try:
        _, checks = plugin_checks(name)
    except MerzooError as error:
        raise pytest.UsageError(f"merzoo_check: {error}") from error
    metafunc.parametrize("merzoo_check", checks, ids=[f"{check.name}-{check.subject.replace(' ', '-')}" for check in checks], indirect=True)


@pytest.fixture
def merzoo_check(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Asks one check of the plugin: a fault fails the test with how to mend it, and what cannot be asked is skipped."""
    check: Check = request.param

    def ask() -> None:
        from merzoo.testing.outcomes import outcome

        found = outcome(check)
        if found.status == "fail":
            pytest.fail(found.text, pytrace=False)
        if found.status == "skip":
            pytest.skip(found.text)

    return ask
