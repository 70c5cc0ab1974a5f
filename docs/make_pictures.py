"""Make the pictures of the documentation from the bundled weights.

    python docs/make_pictures.py

`demo.png` is what `cvdvae demo` writes; `prior_samples.png` shows unconditional samples of the
prior at temperatures 0.7, 0.85 and 1, two rows each; `app.png` and `app_photos.png` are the
two halves of the page of `cvdvae app` in a browser (Debian's chromium). Nobody in them exists, but
for the astronaut.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from playwright.sync_api import Error, sync_playwright

from cvdvae.checkpoints.folder import load_prior
from cvdvae.demo import run_demo
from cvdvae.domains.photos import coffee
from cvdvae.gaussian import SeededNoise
from cvdvae.imaging.io import save_tiles

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = run_demo(Path(folder), samples=8, temperature=0.8, seed=0, on_progress=print)
        shutil.copy(report.picture, HERE / "demo.png")
    prior = load_prior("celeba64")
    with torch.no_grad():
        rows = [
            prior.sample(24, temperature=t, noise=SeededNoise(0, range(24)), mean=True)
            for t in (0.7, 0.85, 1.0)
        ]
    save_tiles(HERE / "prior_samples.png", torch.cat(rows), columns=12)
    photograph_page()


def photograph_page(port: int = 7869) -> None:
    """Both halves of the page, each with something drawn."""
    command = [sys.executable, "-m", "cvdvae.cli", "app", "--port", str(port)]
    with subprocess.Popen(command) as server, sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(90_000)
        for _ in range(100):
            try:
                page.goto(f"http://127.0.0.1:{port}")
                break
            except Error:
                time.sleep(0.3)
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            coffee().save(file.name)
            page.locator("#picture input[type=file]").set_input_files(file.name)
            page.wait_for_selector('.viewer[data-state="drawing"]')
            page.wait_for_timeout(1000)  # the view rests before it is drawn
            page.wait_for_selector('.viewer[data-state="ready"]')
        page.wait_for_timeout(1000)
        page.screenshot(path=HERE / "app_photos.png", full_page=True)
        page.get_by_role("tab", name="Faces").click()
        page.locator("#examples .gallery-item").first.click()
        page.locator("#seen img").wait_for()
        page.click("#draw")
        page.locator("#mean img").wait_for()
        page.wait_for_timeout(3000)
        page.screenshot(path=HERE / "app.png", full_page=True)
        server.terminate()


if __name__ == "__main__":
    main()
