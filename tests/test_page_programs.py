"""The page as programs use it: one server for all of these tests, and for those with a browser."""

import io
import json
import re
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from command import client, run
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import cvdvae
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, downscaling
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.photos import coffee
from cvdvae.domains.simulate import simulate
from cvdvae.imaging.io import to_bytes, to_pil, to_tensor


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "an astronaut.png"
    demo_photo().save(path)
    return path


@pytest.fixture(scope="module")
def page(address: str) -> Client:
    """One program that uses it."""
    return client(address)


def test_a_program_can_draw_and_steer(page: Client, photo: Path) -> None:
    common = {"image": handle_file(photo), "scale": 8, "api_name": "/upscale"}
    files, archive, result = page.predict(**common, sampling={"samples": 3})
    assert len(files) == 3
    assert result["round_trip_exact"] == [True, True, True]
    with zipfile.ZipFile(archive) as packed:
        assert {"result.json", "sample_00.png", "mean.png"} <= set(packed.namelist())
        inside = Image.open(io.BytesIO(packed.read("sample_02.png")))
    assert np.array_equal(np.array(inside), np.array(Image.open(files[2])))
    groups = len(cvdvae.load("celeba64-x8").group_resolutions)
    step = {"kind": "others", "sample": 1, "groups": groups, "seed": 5}
    steered, _, _ = page.predict(**common, sampling={"samples": 3, "steps": [step]})
    for path in steered:
        difference = np.array(Image.open(path)).astype(int) - np.array(Image.open(files[1]))
        assert np.abs(difference).max() <= 1


def test_a_program_can_enlarge_a_photograph(page: Client, tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    coffee().resize((36, 26)).save(path)
    wanted = {"samples": 2, "seed": 3, "temperature": 0.85, "shrunk_by": "box"}
    common = {"image": handle_file(path), "scale": 2, "api_name": "/enlarge"}
    files, result = page.predict(**common, sampling=wanted)
    assert result["round_trip_exact"] == [True, True]
    assert [Path(file).name for file in files] == ["sample_00.png", "sample_01.png", "result.json"]
    assert json.loads(Path(files[2]).read_text())["encoder_temperature"] == 0.85
    degradation = downscaling((52, 72), (26, 36), "box")
    for file in files[:2]:
        shrunk = degradation.A(to_tensor(Image.open(file))[None].double())
        assert torch.equal(to_bytes(shrunk[0]), to_bytes(to_tensor(Image.open(path))))
    others = {"kind": "others", "sample": 1, "groups": 2, "seed": 1}
    for sampling, message in (
        ({"samples": 17}, "at most 16 samples"),
        ({"samples": 2, "steps": [others]}, "cvdvae replay draws"),
    ):
        with pytest.raises(AppError, match=message):
            page.predict(**common, sampling=sampling)


def test_a_program_is_told_what_is_wrong(page: Client, photo: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("I am no picture")
    large = tmp_path / "large.png"
    demo_photo().resize((600, 600)).save(large)
    for changes, message in (
        ({"image": handle_file(text)}, "is not an image"),
        ({"image": None}, "an image is needed"),
        ({"image": handle_file(photo), "sampling": {"samples": 1000}}, "at most 32"),
        ({"image": handle_file(large), "kind": "low"}, "more than 512 a side"),
        ({"image": handle_file(photo), "sampling": {"steps": [{"kind": "fly"}]}}, "kind of a step"),
        ({"image": handle_file(photo), "sampling": {"temperatur": 1}}, "temperatur"),
        ({"image": handle_file(photo), "frame": {"x": 7}}, "0 to 100"),
        ({"image": handle_file(photo), "sampling": [1]}, "by their names"),
    ):
        with pytest.raises(AppError, match=message):
            page.predict(**({"scale": 8, "api_name": "/upscale"} | changes))


def test_ten_at_once_get_their_own_answers(address: str, tmp_path: Path) -> None:
    degradation = BicubicDownscaling((64, 64), (8, 8))
    face = to_bytes(simulate(crop_face(demo_photo()), degradation, crop="none")[0])
    answers: dict[int, bool] = {}

    def visit(number: int) -> None:
        y = face.clamp(10, 240) + number  # brighter and brighter
        path = tmp_path / f"{number}.png"
        to_pil(y).save(path)
        files, _, _ = client(address).predict(
            image=handle_file(path),
            kind="low",
            sampling={"samples": 2},
            api_name="/upscale",
            scale=8,
        )
        drawn = torch.stack([to_tensor(Image.open(file)) for file in files])
        shrunk = shrink_to_8_bits(drawn, degradation)
        answers[number] = bool(((255 * shrunk).round() == y).all())

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(range(10), True)


def test_the_server_fetches_nothing(address: str, page: Client) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/gradio_api/file=https://example.org/", timeout=20)
    assert refused.value.code == 403
    elsewhere = {"path": "https://example.org/a.png", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError):
        page.predict(image=elsewhere, scale=8, api_name="/upscale")


def test_it_listens_to_this_machine_alone_and_loads_nothing_from_elsewhere(address: str) -> None:
    port = int(address.rsplit(":", 1)[1])
    hexadecimal = f"{port:04X}"
    sockets = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [line.split()[1] for line in sockets.splitlines() if line.split()[3] == "0A"]
    assert [a for a in listening if a.endswith(f":{hexadecimal}")] == [f"0100007F:{hexadecimal}"]
    with urllib.request.urlopen(address, timeout=20) as response:
        policy, page = response.headers["Content-Security-Policy"], response.read().decode()
    assert "default-src 'self'" in policy
    assert not re.findall(r"(?:src|href)=\"https?://", page)
    assert "http" not in policy


def test_an_address_that_is_taken_is_said_in_one_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = address.rsplit(":", 1)[1]
    assert run("app", "--port", port, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err
    assert "another program has it" in said
    assert "Traceback" not in said
