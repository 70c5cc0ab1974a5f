"""Make the pictures of the documentation from the bundled weights.

    python docs/make_pictures.py                     # all of them
    python docs/make_pictures.py u_k.png coverage.png

`demo.png` is what `cvdvae demo` writes; `prior_samples.png` shows unconditional samples of the
prior at temperatures 0.7, 0.85 and 1, two rows each; `flicker.webp` samples in turn;
`temperature.png` samples at five temperatures; `u_k.png` how far samples differ at low resolution;
`coverage.png` how often intervals hold the truth; `restore.png` and `restore_photos.png` a face and
a photograph after four kinds of damage; `app.png` and `app_photos.png` are the two halves of the
page of `cvdvae app` in a browser (Debian's chromium). Nobody in them exists, but for the astronaut.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from figures import note
from PIL import Image
from playwright.sync_api import Error, sync_playwright
from skimage.data import chelsea
from torch import Tensor

from cvdvae.analysis.calibration import calibration
from cvdvae.analysis.figures import draw_calibration, draw_consistency
from cvdvae.analysis.latents import expected_distance
from cvdvae.analysis.temperature import picture as temperature_picture
from cvdvae.checkpoints.loading import load_prior
from cvdvae.damage.described import parse
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.demo import run_demo
from cvdvae.domains import FACES
from cvdvae.domains.faces import crop_face
from cvdvae.domains.photos import coffee
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.evaluation.selection import Pair
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.imaging.io import save_png, to_pil, to_tensor
from cvdvae.imaging.sheets import heat_map, labelled_sheet, save_tiles
from cvdvae.restoration.load import load, load_restorer
from cvdvae.restoration.restoring import degraded
from cvdvae.restoration.result import DISCLAIMER

HERE = Path(__file__).parent


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name](HERE / name)
        note(name)
        if name == "app.png":
            note("app_photos.png")


def demo(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = run_demo(Path(folder), samples=8, temperature=None, seed=0, on_share=print)
        shutil.copy(report.picture, path)


def prior_samples(path: Path) -> None:
    prior = load_prior("celeba64")
    with torch.no_grad():
        rows = [
            prior.sample(24, temperature=t, noise=SeededNoise(0, range(24)), mean=True)
            for t in (0.7, 0.85, 1.0)
        ]
    save_tiles(path, torch.cat(rows), columns=12)


def flicker(path: Path) -> None:
    """A part of the cup as the model sees it, beside eight samples in turn."""
    y, _ = simulate_at_scale(coffee().crop((180, 60, 340, 220)), 4)
    model = load("photos-x4")
    result = model.upscale(y, look=True)
    frames = []
    for pixels in result.pixels:
        frame = Image.new("RGB", (648, 320), "white")
        for left, image in ((0, to_pil(y)), (328, to_pil(pixels))):
            frame.paste(image.resize((320, 320), Image.Resampling.NEAREST), (left, 0))
        frames.append(frame)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=500, loop=0, quality=80, method=6
    )


def temperature(path: Path) -> None:
    save_png(path, temperature_picture(load("celeba64-x8")))


def u_k(path: Path) -> None:
    prior, scales = load_prior("celeba64"), (1, 4, 8, 16)
    sides = prior.config.group_resolutions
    natural = {s: sum(side <= prior.config.image_size // s for side in sides) for s in scales}
    draw_consistency(expected_distance(prior, scales), scales, {}, natural, path)


def coverage(path: Path) -> None:
    """Of a square of the cup and one of the cat: to show how the plot is read."""
    drawn = {}
    for name in ("photos-x2", "photos-x4"):
        model = load(name)
        squares = (coffee().crop((150, 100, 342, 292)), cat().crop((120, 40, 312, 232)))
        truths = [to_tensor(square) for square in squares]
        pairs = [Pair(t, shrink_to_8_bits(t[None], model.degradation)[0]) for t in truths]
        drawn[name] = calibration(model, pairs, model.sampling(samples=9, seed=0))
    draw_calibration(drawn, path)


def restore(path: Path) -> None:
    """A face after four kinds of damage."""
    face = crop_face(FACES.example()).resize((64, 64), Image.Resampling.BICUBIC)
    _restored(path, "celeba64-restore", to_tensor(face))


def restore_photos(path: Path) -> None:
    """A part of a photograph after four kinds of damage."""
    part = coffee().crop((300, 60, 460, 220))
    _restored(path, "photos-restore", to_tensor(part))


def _restored(path: Path, name: str, x: Tensor) -> None:
    """A row for each damage: what is seen, four answers, mean, std, the truth."""
    damages = (
        ("hole:side=24", None),
        ("random:keep=0.3,seed=0", None),
        ("blur:sigma=2", 0.02),
        ("jpeg:quality=20", None),
    )
    model, rows = load_restorer(name), []
    for words, noise in damages:
        what = degraded(x, parse(words), noise)
        result = model.run(what, model.restoring(4, look=True), x)
        tiles = [(words, to_pil(result.shown))]
        tiles += [(f"answer {i}", to_pil(one)) for i, one in enumerate(result.pixels)]
        tiles += [("mean", to_pil(result.mean)), ("they differ", heat_map(result.std * 255 / 64))]
        rows.append([*tiles, ("what was there", to_pil(x))])
    save_png(path, labelled_sheet(rows, DISCLAIMER))


def cat() -> Image.Image:
    """Chelsea (Stéfan van der Walt, CC0), from scikit-image."""
    return Image.fromarray(chelsea())


def photograph_page(path: Path, port: int = 7869) -> None:
    """Both halves of the page, each with something drawn: the photographs' and `path`."""
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
            cat().save(file.name)
            page.locator("#picture input[type=file]").set_input_files(file.name)
            page.wait_for_selector('.viewer[data-state="drawing"]')
            page.get_by_label("Shrink it first, to compare").check()
            page.get_by_text("×4)").wait_for()
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
        page.screenshot(path=path, full_page=True)
        server.terminate()


PICTURES = {
    "restore.png": restore,
    "restore_photos.png": restore_photos,
    "demo.png": demo,
    "prior_samples.png": prior_samples,
    "flicker.webp": flicker,
    "temperature.png": temperature,
    "u_k.png": u_k,
    "coverage.png": coverage,
    "app.png": photograph_page,
}


if __name__ == "__main__":
    main()
