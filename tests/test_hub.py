"""The Hugging Face Hub, without a network: its own library reads a cache that is laid out here."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch

from cvdvae.checkpoints.folder import find, push_to_hub
from cvdvae.checkpoints.summary import summary
from cvdvae.errors import ConfigError, OutputError, WeightsError
from cvdvae.restoration.load import load

COMMIT = "0" * 40


@pytest.fixture
def cache(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache after somebody/tiny has been fetched once."""
    repository = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(model_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    original = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *a, **k: original(*a, cache_dir=tmp_path / "hub", local_files_only=True, **k),
    )
    return repository


def test_a_hub_id_loads_like_a_folder(cache: Path, model_folder: Path) -> None:
    y = torch.full((3, 4, 4), 0.5)
    fetched, local = (load(n).upscale(y, samples=1) for n in ("somebody/tiny", str(model_folder)))
    assert torch.equal(fetched.samples, local.samples)


def test_what_is_not_in_the_cache_without_a_network_is_one_sentence(cache: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be reached"):
        find("somebody/else")


def test_without_the_library_a_hub_id_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    monkeypatch.setattr("cvdvae.checkpoints.hub.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"cvdvae\[hub\]"):
        find("somebody/tiny")
    with pytest.raises(OutputError, match=r"cvdvae\[hub\]"):
        push_to_hub(model_folder, "somebody/tiny")


def test_a_whole_model_folder_is_sent_and_nothing_else(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, object] = {}

    class Api:
        def create_repo(self, repository: str, private: bool, exist_ok: bool) -> None:
            sent["repository"], sent["private"] = repository, private

        def repo_info(self, repository: str) -> SimpleNamespace:
            return SimpleNamespace(private=sent["private"])

        def upload_folder(
            self, repo_id: str, folder_path: str, allow_patterns: list[str]
        ) -> SimpleNamespace:
            from huggingface_hub.utils import filter_repo_objects

            files = [str(p.relative_to(folder_path)) for p in Path(folder_path).rglob("*.*")]
            sent["files"] = sorted(filter_repo_objects(files, allow_patterns=allow_patterns))
            return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    (model_folder / "secret.txt").write_text("not for the public")
    assert push_to_hub(model_folder, "somebody/tiny", private=True).endswith("/commit/1")
    assert sent["repository"] == "somebody/tiny"
    assert sent["private"] is True
    assert sent["files"] == [
        "config.yaml",
        "model.safetensors",
        "prior/config.yaml",
        "prior/model.safetensors",
    ]


@pytest.mark.parametrize("public", [True, False])
def test_nothing_private_is_sent_where_all_can_see_it(
    public: bool, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that exists stays as visible as it is, whatever is asked for."""
    sent = list[str]()

    class Api:
        def create_repo(self, *_: object, **__: object) -> None:
            pass

        def repo_info(self, repository: str) -> SimpleNamespace:
            return SimpleNamespace(private=not public)

        def upload_folder(self, repo_id: str, **_: object) -> SimpleNamespace:
            sent.append(repo_id)
            return SimpleNamespace(commit_url="https://huggingface.co/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    if public:
        with pytest.raises(OutputError, match="'somebody/tiny' is there already, and public: make"):
            push_to_hub(model_folder, "somebody/tiny", private=True)
        assert not sent
    push_to_hub(model_folder, "somebody/tiny", private=not public)
    assert sent == ["somebody/tiny"]


def test_a_folder_without_its_prior_is_not_looked_for_on_the_hub(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it lies in the working folder, ``tiny/prior`` has the form of a Hub id."""

    def fetched(name: str) -> Path:
        raise AssertionError(f"asked the Hub for {name}")

    monkeypatch.setattr("cvdvae.checkpoints.folder.download", fetched)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, "tiny")
    shutil.rmtree("tiny/prior")
    for ask in (load, summary):
        with pytest.raises(WeightsError, match="tiny lacks its prior/: copy the folder whole"):
            ask("tiny")


def test_without_a_network_nothing_is_sent_and_one_sentence_said(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Transport(Exception):
        """As the library's own: no OSError."""

    class Api:
        def create_repo(self, *_: object, **__: object) -> None:
            raise Transport("no route to host")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(OutputError, match="did not take 'somebody/tiny': no route to host"):
        push_to_hub(model_folder, "somebody/tiny")


def test_only_models_are_sent(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        push_to_hub(tmp_path, "somebody/tiny")
    with pytest.raises(OutputError, match="user/repository"):
        push_to_hub(model_folder, "tiny")
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        push_to_hub(model_folder, "somebody/tiny")
