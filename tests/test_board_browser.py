"""The board's page in a real browser, Debian's chromium, opened from disk: what a reader does with it, and that nothing leaves it.

`MERZOO_CHROMIUM` names another chromium. Without one these tests are skipped with the reason; where CI is set, that is a failure.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_boards import CPU, GPU, made_board

from merzoo.leaderboard.page import html
from merzoo.testing.browser import MISSING, chromium, executable, sort_ms, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

EVIL = "<script>alert(1)</script>"
SORT_MS = 100  # what the board promises of 500 results; asserted four times as long, since machines of tests are busy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if executable() is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return made_board(tmp_path_factory.mktemp("runs"))


Open = Callable[..., "Page"]


@pytest.fixture
def opened(browser: Browser, board: dict[str, Any], tmp_path: Path) -> Iterator[Open]:
    """Opens a board in a page of its own. At the end: no error, no violated policy, no dialog of a script, no request but for the file itself."""
    faults: list[str] = []
    contexts = []

    def open_page(shown: dict[str, Any] = board, anchor: str = "", **options: Any) -> Page:
        path = tmp_path / "index.html"
        path.write_text(html(shown), encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda request: faults.append(f"request: {request.url}") if request.url.partition("#")[0] != path.as_uri() else None)
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.add_init_script("window.violated = []; addEventListener('securitypolicyviolation', (event) => violated.push(event.violatedDirective))")
        page.goto(path.as_uri() + anchor)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            faults += page.evaluate("violated")
        context.close()
    assert faults == []


def column(page: Page, key: str) -> list[str]:
    """Text of a column from top to bottom, without headings."""
    return [text.split()[0] for text in page.locator(f"#board tbody .c-{key}").all_inner_texts()]


def sorted_by(page: Page, key: str, way: str) -> None:
    """Waits for it: a click is answered a moment later."""
    page.wait_for_selector(f"thead .c-{key}[aria-sort={way}]")
    assert page.locator("[aria-sort]").count() == 1


def select(page: Page, key: str) -> Locator:
    return page.locator(f"select[data-filter={key}]")


def names(page: Page) -> list[str]:
    return page.locator("#board tbody .c-model a").all_inner_texts()


def test_it_opens_at_one_group_on_one_device(opened: Open) -> None:
    page = opened()
    assert names(page) == ["streams", "deepnet-ma2mi", "deepnet", "flow-svm", "clipnet", "resnet18-apex", "chance", "giant"]
    assert page.locator("#shown").inner_text().startswith("8 of ")
    assert [text.split("\n")[0] for text in page.locator("#board tr.group").all_inner_texts()] == [
        *("toy:benchmark · loso", "References, not competitors", "Costs without a score")
    ]
    assert page.locator("th.c-score").get_attribute("aria-sort") == "descending"


def test_sorting_by_click_and_by_enter_keeps_groups_apart_and_what_is_missing_last(opened: Open) -> None:
    page = opened()
    page.locator("th.c-score").click()
    sorted_by(page, "score", "ascending")
    assert names(page) == ["resnet18-apex", "clipnet", "flow-svm", "deepnet", "deepnet-ma2mi", "streams", "chance", "giant"]
    page.locator("th.c-p50").click()
    sorted_by(page, "p50", "ascending")
    assert names(page) == ["flow-svm", "streams", "deepnet", "deepnet-ma2mi", "clipnet", "resnet18-apex", "chance", "giant"]
    page.locator("th.c-p50 [role=button]").focus()
    page.keyboard.press("Enter")
    sorted_by(page, "p50", "descending")
    assert names(page) == ["clipnet", "deepnet-ma2mi", "deepnet", "streams", "flow-svm", "resnet18-apex", "chance", "giant"]
    page.locator("thead .c-model").click()
    sorted_by(page, "model", "ascending")
    assert names(page) == ["clipnet", "deepnet", "deepnet-ma2mi", "flow-svm", "resnet18-apex", "streams", "chance", "giant"]
    outline = page.locator("th.c-p50 [role=button]").evaluate("(node) => { node.focus({ focusVisible: true }); return getComputedStyle(node).outlineStyle; }")
    assert outline == "solid"


def test_filters_and_free_text(opened: Open) -> None:
    page = opened()
    everything = int(page.locator("#shown").inner_text().split()[2])
    select(page, "device").select_option(CPU)
    cpu = column(page, "p50")
    select(page, "device").select_option(GPU)
    assert column(page, "p50") != cpu
    select(page, "precision").select_option("bf16")
    select(page, "mode").select_option("cuda-graph")
    assert "streams" in names(page) and "resnet18-apex" in names(page)  # not measured, so not filtered by how
    select(page, "status").select_option("re-run")
    assert names(page) == ["streams"]
    page.locator("#reset").click()
    page.get_by_label("Find").fill("deepnet")
    assert names(page) == ["deepnet-ma2mi", "deepnet"] and page.locator("#shown").inner_text() == f"2 of {everything} rows"
    page.get_by_label("Find").fill("no such thing")
    assert names(page) == [] and "No row passes the filters" in page.locator("#board").inner_text()


def test_rows_that_cannot_be_compared_stand_under_headings_of_their_own(opened: Open) -> None:
    page = opened()
    select(page, "data").select_option("")
    select(page, "protocol").select_option("")
    assert "scores of different headings cannot be compared" in page.locator("#shown").inner_text()
    page.locator("th.c-score").click()
    sorted_by(page, "score", "ascending")
    assert page.locator("#board tr.group:not(.apart)").count() == 5
    assert "their scores cannot be compared" in page.locator("#picture-caption").inner_text()
    drawn = page.evaluate("document.getElementById('picture').data.filter((trace) => trace.mode === 'markers+text').flatMap((trace) => trace.x).length")
    assert drawn == 5
    select(page, "data").select_option("other")  # of which there is no such protocol
    select(page, "protocol").select_option("few-shot-1x3")
    select(page, "data").select_option("toy:benchmark")
    select(page, "data").select_option("other")
    assert select(page, "protocol").input_value() == "" and "streams" in names(page)


def test_a_panel_opens_and_escape_gives_the_focus_back(opened: Open) -> None:
    page = opened()
    link = page.locator("#board a", has_text="streams")
    link.focus()
    page.keyboard.press("Enter")
    panel = page.locator("dialog[open]")
    assert panel.get_attribute("id") == "model-streams" and page.url.endswith("#model-streams")
    shown = panel.inner_text()
    parts = ("Confusion, sum of 3 seeds", "Harder clips", "train-step", "Fidelity", "Paper")
    for said in (*parts, "re-run: consistent", "by Grace", "0.735", "not known", "@misc{muller2019shallow"):
        assert said in shown, said
    assert panel.locator(".curves .trace").count() >= 3 and panel.locator(".curves").first.bounding_box()["height"] > 200  # type: ignore[index]
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('dialog[open]') && !location.hash")  # a dialog says that it closed in a task of its own
    assert page.evaluate("document.activeElement.textContent") == "streams"
    link.click()
    page.locator("dialog[open] button", has_text="Close").click()
    assert page.locator("dialog[open]").count() == 0


def test_an_address_opens_a_panel(opened: Open) -> None:
    page = opened(anchor="#model-deepnet")
    assert page.locator("dialog[open] h2").inner_text() == "deepnet"
    page.evaluate("location.hash = 'model-clipnet'")
    page.wait_for_selector("dialog#model-clipnet[open]")
    assert page.locator("dialog[open]").count() == 1 and page.url.endswith("#model-clipnet")
    page.go_back()
    page.wait_for_selector("dialog#model-deepnet[open]")


def test_the_citation_is_copied_from_disk(opened: Open) -> None:
    page = opened(anchor="#model-streams", permissions=["clipboard-read", "clipboard-write"])
    page.locator("dialog[open] button.copy").click()
    until(page, "document.querySelector('dialog[open] button.copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()").startswith("@misc{muller2019shallow,\n  title ")


def test_hovering_over_the_picture_shows_model_and_numbers_and_a_click_opens_it(opened: Open) -> None:
    page = opened()
    page.locator("#picture .point").first.wait_for()
    page.locator("#picture").scroll_into_view_if_needed()
    found = [one.bounding_box() for one in page.locator("#picture .points .point").all()]
    (x, y) = next((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in found if box)
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    label = page.locator("#picture .hoverlayer .hovertext")
    label.wait_for()
    said = label.text_content() or ""
    assert "UF1 0." in said and "p50" in said and "ms" in said and any(name in said for name in names(page))
    page.mouse.click(x, y)
    page.wait_for_selector("dialog[open]")
    assert page.locator("dialog[open] h2").inner_text() in said


def test_the_picture_follows_the_filters_and_says_itself_in_words(opened: Open) -> None:
    page = opened()
    count = "document.getElementById('picture').data.filter((trace) => trace.mode === 'markers+text').map((trace) => trace.x.length)"
    assert page.evaluate(count) == [5]
    words = page.locator("#picture-words tbody tr")
    assert words.count() == 5 and words.first.locator("td").all_text_contents()[0] == "flow-svm" and words.first.locator("td").last.text_content() == "yes"
    assert "On the front, quickest first: flow-svm, streams." in (page.locator("#picture").get_attribute("aria-label") or "")
    select(page, "precision").select_option("")
    select(page, "mode").select_option("")
    assert page.evaluate(count) == [5, 5, 5]
    page.get_by_label("Find").fill("nothing")
    assert page.locator("#picture-frame").is_hidden()


def test_oracle_is_hidden_until_asked_and_named_where_it_is_shown(opened: Open) -> None:
    page = opened(anchor="#model-streams")
    assert "oracle" not in page.locator("dialog[open]").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".c-oracle:visible").count() == 0 and page.locator(".oracle:visible").count() == 0
    assert page.locator("body").inner_text().count("oracle") == 1  # the switch
    page.get_by_role("switch").check()
    assert page.locator("tbody .c-oracle:visible").first.inner_text().split()[-1] == "oracle"
    assert "no result" in page.locator("th.c-oracle").inner_text()
    page.locator("#board a", has_text="streams").click()
    assert "no result: the epoch chosen on the test data would have claimed" in page.locator("dialog[open]").inner_text()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phones_and_the_dark(opened: Open, width: int, scheme: str) -> None:
    page = opened(viewport={"width": width, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#board").evaluate("(table) => table.scrollWidth <= table.closest('.scroll').clientWidth")
    assert page.locator("thead .c-model").is_visible() and page.locator("th.c-score").is_visible() and page.locator("th.c-p50").is_visible()
    assert page.locator("th.c-seeds").is_visible() is False or width > 390
    ground, ink = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    light = [sum(map(int, colour[4:-1].split(","))) > 382 for colour in (ground, ink)]
    assert light == [scheme == "light", scheme == "dark"]
    tick = page.locator("#picture .xtick text").first.evaluate("(node) => getComputedStyle(node).fill")
    assert (sum(map(int, tick[4:-1].split(","))) > 382) is (scheme == "dark")
    page.locator("#board a", has_text="streams").click()
    assert page.locator("dialog[open]").evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")


def test_the_theme_may_change_while_it_is_open(opened: Open) -> None:
    page = opened(color_scheme="light")
    before = page.locator("#picture .xtick text").first.evaluate("(node) => node.style.fill")
    page.emulate_media(color_scheme="dark")
    until(page, "(before) => document.querySelector('#picture .xtick text').style.fill !== before", before)
    after = page.locator("#picture .xtick text").first.evaluate("(node) => getComputedStyle(node).fill")
    dark, light = (sum(map(int, colour[4:-1].split(","))) for colour in (before, after))
    assert dark < 382 < light and page.locator("#picture .xtick text").first.is_visible()


def test_an_address_that_is_none_closes_what_is_open(opened: Open) -> None:
    page = opened(anchor="#model-streams")
    page.evaluate("location.hash = '#%E0%A4%A'")
    until(page, "!document.querySelector('dialog[open]')")
    assert page.url.endswith("#%E0%A4%A") and page.locator("#board").is_visible()


def test_who_measured_and_what_was_noisy_is_told(opened: Open, board: dict[str, Any]) -> None:
    made = copy.deepcopy(board)
    for cost in made["costs"]:
        cost["by"] = "Grace <b>"
        cost["noise"]["noisy"] = True
        for one in cost["measurements"]:
            one["warm_up"]["steady"] = False
    page = opened(made)
    cell = page.locator("#board tbody td.c-p50 .mark").first
    assert cell.is_visible() and cell.get_attribute("title", timeout=1000).startswith("noisy machine: a fixed")  # type: ignore[union-attr]
    assert "not steady" in page.locator("#board tbody td.c-p50").first.inner_text() or page.locator(".mark .sr", has_text="not steady").count()
    assert "measured by Grace <b>" in page.locator("#board tbody td.c-device").first.inner_text()
    assert page.evaluate("board.rows.filter((row) => row.numbers.p50).every((row) => row.by === 'Grace <b>')")


def test_columns_are_chosen_by_the_reader(opened: Open) -> None:
    page = opened()
    assert not page.locator("th.c-seeds").is_visible()
    page.locator(".chooser summary").click()
    page.get_by_role("checkbox", name="Seeds").check()
    assert page.locator("th.c-seeds").is_visible()
    page.get_by_role("checkbox", name="UAR").uncheck()
    assert not page.locator("th.c-uar").is_visible()


def test_the_keyboard_alone(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the table" and page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    met, focused = set(), "(({ id, dataset }) => id || dataset.filter)(document.activeElement) || document.activeElement.closest('th')?.className || ''"
    for _ in range(60):
        page.keyboard.press("Tab")
        met.add(page.evaluate(focused))
    assert {"find", "data", "device", "reset", "oracle"} <= met and any("c-p50" in name for name in met)


def test_a_model_named_like_a_script_is_text_everywhere(opened: Open, board: dict[str, Any]) -> None:
    made = copy.deepcopy(board)
    evil = EVIL + '<img src=x onerror="alert(2)"> &lt;b&gt;&amp; <a href="https://example.org">b</a>'
    for group in made["groups"]:
        for row in group["rows"]:
            row["model"] = evil if row["model"] == "streams" else row["model"]
    for cost in made["costs"]:
        cost["model"] = evil if cost["model"] == "streams" else cost["model"]
        cost["device"] = evil if cost["device"] == GPU else cost["device"]
    page = opened(made)
    assert evil in names(page)
    page.get_by_label("Find").fill("alert(1)")
    assert evil in names(page)
    page.get_by_label("Find").fill("")
    assert select(page, "device").input_value() == evil
    assert page.evaluate("[...document.scripts].every((script) => !script.textContent.startsWith('alert'))")
    assert page.locator("#picture img, #board img, dialog img, #picture b").count() == 0
    assert EVIL[:20] in (page.locator("#picture .textpoint, #picture text", has_text="<script>").first.text_content() or "")
    hovered = ""
    for box in (one.bounding_box() for one in page.locator("#picture .points .point").all()):
        assert box
        page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.locator("#picture .hovertext").wait_for()
        hovered += page.locator("#picture .hovertext").text_content() or ""
    assert evil in hovered and page.locator("#picture a").count() == 0
    page.locator("#board a", has_text="alert(1)").click()
    assert page.locator("dialog[open] h2").inner_text() == evil
    assert page.locator("dialog[open] .curves .trace").count() > 0


def test_it_is_readable_without_scripts(opened: Open, browser: Browser, board: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "plain.html"
    path.write_text(html(board), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    shown = page.locator("body").inner_text()
    assert all(said in shown for said in ("References, not competitors", "0.735", "Confusion, sum of 3 seeds"))
    assert "Find" not in shown and "oracle" not in shown
    context.close()


def test_five_hundred_results_are_sorted_at_once(opened: Open, board: dict[str, Any]) -> None:
    page = opened(many(board, 250))
    assert page.locator("#shown").inner_text().endswith("rows") and len(html(many(board, 250)).encode()) < 5e6
    took = [min(sort_ms(page, key), sort_ms(page, key)) for key in ("p50", "score", "model")]  # a busy machine may stall in one of two
    sorted_by(page, "model", "descending")
    assert names(page)[0] == "model-249" and max(took) <= 4 * SORT_MS, took


def many(board: dict[str, Any], runs: int) -> dict[str, Any]:
    """As many runs, and costs, as asked, by copying."""
    group = max(board["groups"], key=lambda group: len(group["rows"]))
    template, costs = group["rows"][1], [cost for cost in board["costs"] if cost["model"] == group["rows"][1]["model"]]
    rows, copied = [], []
    for n in range(runs):
        score = {"value": 0.2 + (n * 37 % runs) / runs / 2, "low": 0.1, "high": 0.9}
        rows.append({**template, "model": f"model-{n:03d}", "scores": dict.fromkeys(template["scores"], score)})
        copied.append({**costs[n % len(costs)], "model": f"model-{n:03d}"})
    return {**board, "groups": [{**group, "rows": rows}], "costs": copied}
