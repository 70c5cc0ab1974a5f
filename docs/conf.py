"""The site: `make docs`."""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "IPYTHONDIR" not in os.environ:
    # The notebooks' kernels listen on this machine alone, and need not warn of it.
    os.environ["IPYTHONDIR"] = ipython = tempfile.mkdtemp(prefix="cvdvae-docs-")
    atexit.register(shutil.rmtree, ipython, ignore_errors=True)
    profile = Path(ipython, "profile_default")
    profile.mkdir()
    (profile / "ipython_kernel_config.py").write_text('c.IPKernelApp.log_level = "ERROR"')
sys.path.insert(0, str(Path(__file__).parent))

from _site.sources import linkcode_resolve  # noqa: F401 - Sphinx asks for it

import cvdvae

project = "CVD-VAE"
author = "The CVD-VAE team"
copyright = f"{author}, Apache-2.0"
version = release = cvdvae.__version__

extensions = [
    "_site.pages",
    "_site.mathml",
    "_site.sources",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "myst_nb",
]
exclude_patterns = [
    "_build",
    "examples",
    "auto_examples/*.ipynb",
    "**.ipynb_checkpoints",
]
# The gallery's settings hold a pattern; attributes of several classes have the same short name.
suppress_warnings = ["config.cache", "ref.python"]
default_role = "literal"

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autosummary_generate = ["generated/reference.rst"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_mock_imports = [
    name
    for name in ("lightning", "torchmetrics", "lpips", "brisque", "huggingface_hub")
    if importlib.util.find_spec(name) is None
]
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_use_ivar = True

without_deepinv = [] if importlib.util.find_spec("deepinv") else ["deepinv_side_by_side"]
sphinx_gallery_conf = {
    "examples_dirs": ["examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"\.py$",
    "ignore_pattern": "|".join(["__init__", *without_deepinv]),
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # its pages load scripts from elsewhere
    "min_reported_time": 0,
    "parallel": True,  # as many as -j says
}

html_theme = "furo"
html_title = f"CVD-VAE {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "sidebar_hide_name": False,
    "navigation_with_keys": True,
}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
