"""The page in Chromium: axe finds nothing, nothing is fetched, and the table does what it says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, axe, chromium
from reported import Run, saw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (chromium() and shutil.which("npm")), reason="Chromium and npm aren't here"
    ),
]
BLURRED = {"name": "out of focus", "figure": 14.7, "rule": "px that edges take; over 11 px"}
AREA = {"column": "area_px", "unit": "px", "start": 0.0, "step": 5.0, "counts": [1, 4, 2]}
RULES = "axe.run().then(r => [r.violations.map(v => [v.id, v.impact, v.nodes[0].html]), r.passes])"
NAMES = "[...document.querySelectorAll('#images tbody tr')].filter(r => !r.hidden)"
SHOWN = f"{NAMES}.map(r => r.cells[0].textContent)"
CARDS = "[...document.querySelectorAll('article')].filter(c => !c.hidden).map(c => c.id)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium") / "profile") as open_one:
        yield open_one


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe(tmp_path_factory.mktemp("axe"))


@pytest.fixture
def page(run: Run) -> Path:
    """Of a dozen and more images: with all that a card can have, and with little."""
    for n in range(14):
        run.result(
            f"image-{n:02d}",
            objects=(n * 5) % 14,
            flags=[BLURRED] if n == 3 else [],
            histograms=[{**AREA, "below": 0, "above": 1}],
            seen=saw(0.3, 0.2, 0.9),
            sbe=1.0 + n / 10 if n % 2 else None,
            mpp=[0.5, 0.5],
        )
    run.refused("broken", "It is damaged. Copy it again.")
    run.task("MERGE (g)")
    run.write()
    return run.here / "out" / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_nothing_is_fetched(
    browser: Browser, rules: str, page: Path, width: int, scheme: str
) -> None:
    browser.open(page, width, color_scheme=scheme)
    assert browser.fetched == [page.as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.evaluate(f"{rules}; 0")
    for open_all in ("", "document.querySelectorAll('details').forEach(d => d.open = true)"):
        found: list[Any] = browser.evaluate(f"{open_all}\n{RULES}")
        assert found[0] == []
        assert len(found[1]) > 20


def test_images_are_sorted_and_filtered_and_cards_follow(browser: Browser, page: Path) -> None:
    browser.open(page)
    column = "document.querySelectorAll('#images th button')[1]"
    browser.evaluate(f"{column}.click()")
    assert browser.evaluate(SHOWN)[:2] == ["image-11", "image-08"]
    assert browser.evaluate(SHOWN)[-1] == "broken"  # without a number: last, either way
    assert browser.evaluate(CARDS)[:2] == ["image-12", "image-9"]
    browser.evaluate(f"{column}.click()")
    assert browser.evaluate(SHOWN)[0] == "image-00"
    assert browser.evaluate(SHOWN)[-1] == "broken"
    browser.evaluate(
        "document.querySelector('#tools select').value = 'out of focus';"
        "document.querySelector('#tools select').dispatchEvent(new Event('change'))"
    )
    assert browser.evaluate(SHOWN) == ["image-03"]
    assert browser.evaluate(CARDS) == ["image-4"]
    browser.evaluate(
        "document.querySelector('#tools select').value = '';"
        "document.querySelector('#tools input').value = 'E-1';"
        "document.querySelector('#tools input').dispatchEvent(new Event('input'))"
    )
    assert sorted(browser.evaluate(SHOWN)) == [f"image-{n}" for n in range(10, 14)]
    assert browser.evaluate("document.querySelector('#tools output').textContent") == "4 of 15"


def test_a_script_that_isnt_ours_never_runs(browser: Browser, page: Path) -> None:
    text = page.read_text().replace("</main>", "<script>document.title = 'no'</script></main>")
    page.write_text(text)
    browser.open(page)
    assert browser.evaluate("document.title") != "no"
    assert any("Content Security Policy" in line for line in browser.complaints)
