"""The Hugging Face Hub, without a network: its own library reads a cache that is laid out here."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from tiny import saved_prior, saved_resolver, saved_restorer, tiny_prior

from cvdvae.checkpoints.folder import find, read_record
from cvdvae.checkpoints.pushing import push_to_hub
from cvdvae.checkpoints.records import Judge, RestorerRecord, SuperResolutionRecord
from cvdvae.checkpoints.summary import summary
from cvdvae.checkpoints.weights import digest
from cvdvae.configs import to_yaml
from cvdvae.errors import ConfigError, OutputError, WeightsError
from cvdvae.files import write_text
from cvdvae.restoration.load import load, load_restorer

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
            from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

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
    shutil.copytree(model_folder, tmp_path / "run" / "model")
    with pytest.raises(WeightsError, match=r"run is no model, but .*model is one"):
        push_to_hub(tmp_path / "run", "somebody/tiny")
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        push_to_hub(model_folder, "somebody/tiny")


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What others fetch of a folder that was sent."""

    class Api:
        def create_repo(self, *_: object, **__: object) -> None:
            pass

        def upload_folder(
            self, repo_id: str, folder_path: str, allow_patterns: list[str]
        ) -> SimpleNamespace:
            for pattern in allow_patterns:
                for path in Path(folder_path).glob(pattern):
                    place = tmp_path / "sent" / path.relative_to(folder_path)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, place)
            return SimpleNamespace(commit_url="https://huggingface.co/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return tmp_path / "sent"


@pytest.mark.parametrize("fault", ["lacks it", "another", "elsewhere", "of the Hub", "its judge"])
def test_what_nobody_could_load_is_not_sent(
    fault: str, model_folder: Path, sent: Path, tmp_path: Path
) -> None:
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    words = f"{model_folder / 'prior'} has other weights than those that {model_folder} names"
    if fault == "lacks it":
        words = "lacks its prior/: copy the folder whole"
        shutil.rmtree(model_folder / "prior")
    elif fault == "another":
        saved_prior(model_folder / "prior", tiny_prior(seed=1))
    elif fault == "its judge":
        judge = Judge("judge-1", "0" * 64)
        shutil.copytree(model_folder, model_folder / "judge-1")
        write_text(model_folder / "config.yaml", to_yaml(replace(record, judge=judge)))
        words = words.replace("prior", "judge-1")
    else:
        name = str(model_folder / "prior") if fault == "elsewhere" else "somebody/prior"
        write_text(model_folder / "config.yaml", to_yaml(replace(record, prior=name)))
        words = f"names the prior '{name}', which is not in the folder: copy it to"
    with pytest.raises(WeightsError, match=re.escape(words)):
        push_to_hub(model_folder, "somebody/tiny")
    assert not sent.exists()


@pytest.mark.parametrize("kind", ["lr-encoder", "restorer"])
def test_a_bundled_prior_comes_along_since_the_next_version_may_have_another(
    kind: str, tmp_path: Path, sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a bundled judge. The folder that was sent stays as it is."""
    zoo, model = tmp_path / "zoo", tmp_path / "model"
    monkeypatch.setattr("cvdvae.checkpoints.folder.zoo", lambda: zoo)
    (saved_resolver if kind == "lr-encoder" else saved_restorer)(model)
    shutil.move(model / "prior", zoo / "faces")
    record = read_record(model)
    assert isinstance(record, (SuperResolutionRecord, RestorerRecord))
    record = replace(record, prior="faces")
    if isinstance(record, SuperResolutionRecord):
        shutil.copytree(model, zoo / "judge")
        record = replace(record, judge=Judge("judge", digest(model)))
    write_text(model / "config.yaml", to_yaml(record))
    (model / "README.md").write_text("a card")
    (model / "secret.txt").write_text("not for the public")
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    push_to_hub(model, "somebody/tiny")
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    shutil.rmtree(zoo)
    saved_prior(zoo / "faces", tiny_prior(seed=1))
    read = load if kind == "lr-encoder" else load_restorer
    with pytest.raises(WeightsError, match="trained on other weights"):
        read(model)
    assert read(sent).weights.startswith(digest(model)[:16])
    files = {path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file()}
    assert {"README.md", "prior/config.yaml", "prior/model.safetensors"} < files
    assert "secret.txt" not in files


def test_a_missing_card_is_noted(
    model_folder: Path, sent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push_to_hub(model_folder, "somebody/tiny")
    assert f"note: {model_folder} has no card README.md: say in one" in capsys.readouterr().err
    (model_folder / "README.md").write_text("a card")
    push_to_hub(model_folder, "somebody/tiny")
    assert not capsys.readouterr().err
    assert (sent / "README.md").read_text() == "a card"
