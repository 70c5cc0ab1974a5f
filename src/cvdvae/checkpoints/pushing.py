"""Sending a model folder to the Hugging Face Hub, with all that it needs to be loaded there."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..configs import to_yaml
from ..errors import WeightsError
from ..files import write_text
from .folder import (
    CONFIG,
    JUDGE_SUBFOLDERS,
    PRIOR_SUBFOLDER,
    bring,
    bundled_names,
    judge_folder,
    prior_folder,
    read_record,
    refuse_run,
)
from .hub import CARD, FILES, check_repository, upload
from .records import Judge, RestorerRecord, SuperResolutionRecord
from .weights import WEIGHTS, digest


def push_to_hub(folder: str | Path, repository: str, private: bool = False) -> str:
    """Send a model folder to the Hugging Face Hub, as the user that ``hf auth login`` logged in.

    A bundled prior or judge comes along, since another version may bundle another one.

    Args:
        folder: A folder with `config.yaml` and `model.safetensors`; that it has no card is noted.
        repository: ``user/repository``; it is made where it does not exist.
        private: Make it visible to you alone.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: The folder is not a model.
        WeightsError: It is the folder of a run, which holds one; or it has no weights, or lacks the
            prior or the judge that it names, so that nobody could load it.
        OutputError: `repository` is no such name, huggingface_hub is not installed, or the Hub
            refuses, or the repository is there already and public, where it should be private.
    """
    check_repository(repository)
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        refuse_run(folder)
    record = read_record(folder)
    if not (folder / WEIGHTS).is_file():
        raise WeightsError(f"{folder} holds no {WEIGHTS}")
    if not (folder / CARD).is_file():
        note = (
            f"note: {folder} has no card {CARD}: say in one what the model was trained on, its "
            f"terms, and what it must not be used for"
        )
        print(note, file=sys.stderr, flush=True)
    with TemporaryDirectory() as aside:
        if isinstance(record, (SuperResolutionRecord, RestorerRecord)):
            folder = _whole(folder, record, Path(aside))
        return upload(folder, repository, private)


def _whole(folder: Path, record: SuperResolutionRecord | RestorerRecord, aside: Path) -> Path:
    """An encoder's folder if it holds all that it names, or a copy that does."""
    if record.prior not in (PRIOR_SUBFOLDER, *bundled_names()):
        raise WeightsError(
            f"{folder / CONFIG} names the prior '{record.prior}', which is not in the folder: copy "
            f"it to {folder / PRIOR_SUBFOLDER}, and write prior: {PRIOR_SUBFOLDER}"
        )
    parts = {PRIOR_SUBFOLDER: (prior_folder(folder, record.prior), record.prior_digest)}
    whole = replace(record, prior=PRIOR_SUBFOLDER)
    if isinstance(whole, SuperResolutionRecord) and whole.judge:
        own, told = f"{JUDGE_SUBFOLDERS}{whole.judge.digest[:8]}", whole.judge.digest
        parts[own] = judge_folder(folder, whole.judge), told
        whole = replace(whole, judge=Judge(own, told))
    for source, told in parts.values():
        if digest(source) != told:
            raise WeightsError(f"{source} has other weights than those that {folder} names")
    if whole == record:
        return folder
    for path in {path for pattern in FILES for path in folder.glob(pattern)}:
        place = aside / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    for name, (source, _) in parts.items():
        bring(source, aside / name)
    write_text(aside / CONFIG, to_yaml(whole))
    return aside
