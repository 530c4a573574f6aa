"""The page of `mtl serve` in a real browser: upload, wait, read, correct, download; nothing from elsewhere, no fault, accessible.

    npm install axe-core; pip install playwright
    mtl serve --run runs/default --port 8000 &
    python benchmarks/serving/browser.py http://127.0.0.1:8000/ smear.jpg --axe node_modules/axe-core/axe.min.js --out screenshots

It wants Debian's chromium (or another, by --chromium). At 1280 and at 390 px wide, in light and dark; exit code 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

SERIOUS = ("serious", "critical")
PATIENCE = 600_000  # ms, because a processor may be busy


def audit(page: Any, axe: Path, where: str, faults: list[str]) -> None:
    """Ask axe-core."""
    # By the tools' own door: the page itself allows no script but its own.
    page.evaluate(axe.read_text("utf-8"))
    found = page.evaluate(
        "axe.run().then(told => told.violations.map(one => [one.impact, one.id, one.nodes.map(node => node.html).slice(0, 2)]))"
    )
    for impact, name, nodes in found:
        print(f"  axe {where}: {impact} {name} {nodes}")
        if impact in SERIOUS:
            faults.append(f"axe {where}: {name}")


def visit(browser: Any, given: argparse.Namespace, width: int, scheme: str) -> list[str]:
    """Go through everything once, and return what is wrong."""
    faults: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on(
        "console",
        lambda said: (
            faults.append(f"console {said.type}: {said.text}") if said.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((given.url, "data:", "blob:"))
            else faults.append(f"request elsewhere: {asked.url}")
        ),
    )
    name = f"{width}-{scheme}"
    page.goto(given.url)
    audit(page, given.axe, f"{name} empty", faults)
    page.screenshot(path=given.out / f"{name}-empty.png")
    page.set_input_files("#files", given.smear)
    page.check("#explain")
    begun = time.perf_counter()
    page.click("#go")
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_function(
        "Array.from(document.images).every(one => one.loading === 'lazy' || one.complete && one.naturalWidth)"
    )
    print(f"{name}: answered after {time.perf_counter() - begun:.1f} s: {page.inner_text('.said')}")
    audit(page, given.axe, f"{name} answered", faults)
    page.screenshot(path=given.out / f"{name}-answered.png", full_page=True)
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        faults.append(f"{name}: the page is wider than the window")
    for number, select in enumerate(
        (page.locator("article select").first, page.locator(".gallery select").first)
    ):
        if select.count():
            select.select_option(index=1)
            print(f"  corrected {number}: {page.inner_text('#count')}")
    with page.expect_download() as waited:
        page.click("#save")
    corrections = given.out / f"{name}-corrections.zip"
    waited.value.save_as(corrections)
    print(f"  corrections: {zipfile.ZipFile(corrections).namelist()}")
    for link in page.locator(".downloads a, .links a").all()[:4]:
        with page.expect_download() as waited:
            link.click()
        path = given.out / f"{name}-{waited.value.suggested_filename}"
        waited.value.save_as(path)
        print(f"  downloaded {path.name}: {path.stat().st_size:,} bytes")
    report = context.new_page()
    report.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith(("file:", "data:"))
            else faults.append(f"report asks elsewhere: {asked.url}")
        ),
    )
    report.goto(f"file://{(given.out / f'{name}-report.html').resolve()}")
    report.screenshot(path=given.out / f"{name}-report.png", full_page=True)
    page.goto(f"{given.url}api/docs")
    audit(page, given.axe, f"{name} API", faults)
    context.close()
    return faults


def main() -> None:
    """Visit at two widths."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("smear", type=Path)
    parser.add_argument("--axe", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        faults = [
            fault
            for width, scheme in ((1280, "light"), (390, "dark"))
            for fault in visit(browser, given, width, scheme)
        ]
        browser.close()
    print("\n".join(faults) or "Nothing is wrong.")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
