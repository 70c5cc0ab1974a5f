"""Files of others that are damaged with skill, or say more than they hold: one sentence each, and
nothing is waited for."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from command import run
from PIL import Image
from tiny import FLOW, saved_resolver, tiny_flow, tiny_photos

from cvdvae import configs
from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.loading import load_flow
from cvdvae.checkpoints.proper import PROPER, read_proper
from cvdvae.checkpoints.records import FlowRecord
from cvdvae.checkpoints.tensors import write_tensors
from cvdvae.configs import from_dict, load_yaml, read_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.data.images import open_images
from cvdvae.errors import ConfigError, InputError, WeightsError
from cvdvae.hcflow.transforms import InvertibleConv1x1
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.imaging.arrays import Limits
from cvdvae.imaging.formats import format_of
from cvdvae.imaging.io import list_images

LIMITS = Limits(10**6)
ENCODER: dict[str, Any] = {"scales": [4], "bottom_up": "4x1", "width": 8}


def read(path: Path) -> Any:
    form = format_of(path)
    assert form is not None
    return form.read(path, LIMITS)


# Configurations.


@pytest.mark.parametrize(
    "text", ["a: !!bool foo", "a: !!float ''", "a: !!int ''", "a: !!timestamp x", "a: !!binary é"]
)
def test_odd_tags_are_no_yaml(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is not a YAML file"):
        read_yaml(tmp_path / "x.yaml")


def test_mappings_that_bring_along_more_and_more_end_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is made of them: where keys come twice PyYAML may keep them until then."""
    monkeypatch.setattr(configs, "MAX_VALUES", 50)
    keys = ", ".join(f"k{i}: 1" for i in range(30))
    more = ", ".join(f"m{i}: 1" for i in range(30))
    (tmp_path / "x.yaml").write_text(f"a: &a {{{keys}}}\nb: {{<<: *a, {more}}}")
    with pytest.raises(ConfigError, match="is not a YAML file"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("scales", [4, "4", {4: 1}, None])
def test_a_list_that_is_none_is_called_so(scales: object) -> None:
    with pytest.raises(ConfigError, match="x: scales should be list, not"):
        from_dict(LREncoderConfig, {**ENCODER, "scales": scales}, "x")
    with pytest.raises(ConfigError, match=r"x: more should be list, not \{'folder'"):
        from_dict(DataConfig, {"folder": "a", "more": {"folder": "b"}}, "x")


def test_true_is_no_stride(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(json.dumps(ENCODER)[:-1] + ", widths: {true: 3}}")
    with pytest.raises(ConfigError, match="true and false are no names"):
        load_yaml(LREncoderConfig, tmp_path / "x.yaml")


def test_a_source_has_a_name_and_an_array_is_taken_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder must name one"):
        DataConfig("")
    np.save(tmp_path / "a.npy", np.zeros((6, 16, 16, 3), np.uint8))
    with pytest.raises(InputError, match="are taken whole, and all"):
        open_images(DataConfig(str(tmp_path / "a.npy"), validation=1, only="b*"), 16)


# Weights.


@pytest.mark.parametrize(
    ("expected", "dtype"), [("[" * 200_000, torch.float32), ("{}", torch.complex64)]
)
def test_what_proper_images_look_like_is_read_with_care(
    expected: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    tensors = {"mean": torch.zeros(3, 4, 4, dtype=dtype), "whitening": torch.eye(48).half()}
    write_tensors(tmp_path / PROPER, tensors, {"expected": expected})
    with pytest.raises(WeightsError, match="cannot read"):
        read_proper(tmp_path)


def test_a_flow_that_has_no_inverse_is_none(tmp_path: Path) -> None:
    flow = tiny_flow().flow
    mixing = next(one for one in flow.modules() if isinstance(one, InvertibleConv1x1))
    assert mixing.is_invertible
    mixing.weight.data[0] = mixing.weight.data[1]
    save_model(tmp_path / "flow", FlowRecord("hcflow", FLOW), flow.state_dict())
    with pytest.raises(WeightsError, match=r"are of no flow: .* has no inverse"):
        load_flow(str(tmp_path / "flow"))


# Images.


def ngff(path: Path, steps: object) -> Path:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((12, 10), np.uint8))
    dataset = {"path": "0", "coordinateTransformations": steps}
    axes = [{"name": n, "type": "space"} for n in "yx"]
    group.attrs.update({"multiscales": [{"axes": axes, "datasets": [dataset]}]})
    return path


@pytest.mark.parametrize(
    "steps",
    [
        "x",
        [5],
        [{"type": "scale", "scale": ["0.5", "0.5"]}],
        {"scale": 1},
        [{"type": "scale", "scale": 2}],
    ],
)
def test_sizes_of_pixels_that_are_no_numbers_are_refused_before_anything_is_drawn(
    steps: object, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no numbers|damaged"):
        read(ngff(tmp_path / "i.zarr", steps))
    read(ngff(tmp_path / "fine.zarr", [{"type": "scale", "scale": [1, 0.5]}, {"type": "identity"}]))


@pytest.mark.parametrize(
    ("dtype", "mark", "refused"),
    [("u8", 2**64 - 2, True), ("i8", -(2**63) + 2, True), ("i8", 2**53 + 1, True),
     ("i8", 2**53, False), ("u1", 10**400, False), ("u1", 255, False), ("f4", 1e20, False)],
)  # fmt: skip
def test_numbers_for_no_data_that_floats_cannot_tell_apart_are_refused(
    dtype: str, mark: float, refused: bool, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    values = np.arange(120, dtype=dtype).reshape(12, 10)
    made = zarr.create_array(str(tmp_path / "a.zarr"), data=values, zarr_format=2)
    attributes = dict(made.attrs) | {"missing_value": mark}
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(attributes))
    if refused:
        with pytest.raises(InputError, match="too large to be handed on"):
            read(tmp_path / "a.zarr")
    else:
        read(tmp_path / "a.zarr")


def test_a_pipe_among_photographs_is_not_waited_for(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (20, 20), (i, 0, 0)).save(tmp_path / f"{i}.png")
    os.mkfifo(tmp_path / "9.png")
    with pytest.raises(InputError, match=r"9.png is no file"):
        open_images(DataConfig(str(tmp_path), validation=1, random_crops=True), 16)


@pytest.mark.parametrize("named", ['FileName="{}"', "FileName='{}'", 'FileName = "{}"'])
def test_an_ome_tiff_opens_no_file_of_another_folder(named: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    for name in (str(tmp_path / "pipe.tif"), "../other.tif", "pipe.tif"):
        words = (
            '<OME><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
            'SizeX="10" SizeY="12" SizeC="1" SizeZ="2" SizeT="1"><TiffData FirstZ="1" IFD="0">'
            f"<UUID {named.format(name)}>urn:uuid:1</UUID></TiffData></Pixels></Image></OME>"
        )
        values = np.zeros((12, 10), np.uint8)
        tifffile.imwrite(tmp_path / "a.ome.tif", values, description=words, metadata=None)
        with pytest.raises(InputError, match=f"planes of .* lie in {name}"):
            read(tmp_path / "a.ome.tif")


def test_a_few_bytes_are_no_thousands_of_channels(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    names = ["channel", "y", "x"]
    zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(2000, 500, 500), chunks=(1, 500, 500), dtype="u1",
        dimension_names=names,
    )  # fmt: skip
    with pytest.raises(InputError, match="has 2000 channels, over 1000"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize("header", ["(" * 9000, "-" * 9000 + "1", "{[1]:2}"])
def test_a_damaged_array_to_train_on_is_one_sentence(header: str, tmp_path: Path) -> None:
    text = header.encode() + b"\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    (tmp_path / "a.npy").write_bytes(head + bytes(4000))
    with pytest.raises(InputError, match="truncated, damaged"):
        open_images(DataConfig(str(tmp_path / "a.npy"), validation=1), 16)


def test_what_macos_writes_beside_images_is_none(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]


@pytest.mark.parametrize("command", ["upscale", "restore", "batch"])
def test_a_domain_that_there_is_not_is_refused_beside_a_model_too(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved_resolver(tmp_path / "tiny", tiny_photos(2))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    what = [str(tmp_path / "a.png"), "--model", str(tmp_path / "tiny"), "--domain", "typo"]
    more = ["--degradation", "noise", "--noise", "0.1"] if command == "restore" else []
    code = run(command, *what, *more, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch)
    assert code == 1
    assert "unknown domain 'typo'" in capsys.readouterr().err
