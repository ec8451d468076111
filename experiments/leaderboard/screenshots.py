"""Takes the screenshots of docs/report.md from a fresh report, in Chromium through playwright.

PYTHONPATH=. python experiments/leaderboard/screenshots.py
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from lrjax.report.command import main

HERE = Path(__file__).parent
SHOTS = {
    "index.png": ("index.html", 1200, 900, "light"),
    "model.png": ("models/eva-02-clip-b-16.html", 1200, 900, "light"),
    "phone.png": ("index.html", 390, 800, "dark"),
}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def take(report: Path) -> None:
    """Saves every screenshot beside this script.

    Args:
        report: directory of a report.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for name, (page_name, width, height, scheme) in SHOTS.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.goto((report / page_name).as_uri())
            page.screenshot(path=HERE / name)
            context.close()
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        status = main(["--out", directory, "--no-plots"])
        if status == 0:
            take(Path(directory))
    sys.exit(status)
