"""Model folders on the Hugging Face Hub: ``pip install cvdvae[hub]``."""

import re
from importlib.util import find_spec
from pathlib import Path

from ..errors import OutputError, WeightsError

CARD = "README.md"
FILES = ["**/config.yaml", "config.yaml", "**/*.safetensors", "*.safetensors", CARD]
"""What a model folder is made of; nothing else is fetched or sent."""


def is_hub_id(name: str) -> bool:
    """Whether a name has the form ``user/repository``."""
    return re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", name) is not None and not name.startswith(".")


def download(name: str) -> Path:
    """Fetch a model from the Hub, or find it in the cache.

    Raises:
        WeightsError: huggingface_hub is not installed, there is no such model, or the Hub cannot
            be reached.
    """
    if not _installed():
        raise WeightsError(
            f"'{name}' is no folder here; to take it from the Hub: pip install 'cvdvae[hub]'"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except LocalEntryNotFoundError:
        raise WeightsError(f"'{name}' is not in the cache, and the Hub cannot be reached") from None
    except Exception as error:  # the library's transport has errors of its own
        raise WeightsError(f"cannot fetch '{name}' from the Hub: {_first(error)}") from None


def check_repository(name: str) -> None:
    """Refuse a name to send to that no repository has.

    Raises:
        OutputError: It is not of the form ``user/repository``.
    """
    if not is_hub_id(name):
        raise OutputError(f"'{name}' is not of the form user/repository")


def upload(folder: Path, repository: str, private: bool) -> str:
    """Send a model folder to a repository on the Hub, and return the address of the commit.

    Raises:
        OutputError: huggingface_hub is not installed, or the Hub refuses, or the repository is
            there already and public, where it should be private.
    """
    if not _installed():
        raise OutputError("sending to the Hub needs huggingface_hub: pip install 'cvdvae[hub]'")
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        # One that exists stays as visible as it is.
        if private and not api.repo_info(repository).private:
            raise OutputError(
                f"'{repository}' is there already, and public: make it private in its settings on "
                f"the Hub, or send to another name"
            )
        commit = api.upload_folder(
            repo_id=repository, folder_path=str(folder), allow_patterns=FILES
        )
    except OutputError:
        raise
    except Exception as error:  # the library's transport has errors of its own
        raise OutputError(f"the Hub did not take '{repository}': {_first(error)}") from None
    return str(commit.commit_url)


def _installed() -> bool:
    return find_spec("huggingface_hub") is not None


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
