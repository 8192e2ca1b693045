"""The pages of `docs/`: links that work on GitHub too, all public names, no warning."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

import slot_attention_tf as sa
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md")])
MISSING = [
    name
    for name in ("sphinx", "myst_nb", "sphinx_book_theme", "onnxruntime", "tf2onnx")
    if importlib.util.find_spec(name) is None
]


def name_of(page):
    return page.relative_to(DOCS).with_suffix("").as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page):
    text = page.read_text("utf-8")
    links = re.findall(r"```\{(?:literalinclude|include)\} (\S+)", text)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    links += re.findall(r"\]\(([^)\s]+)\)", prose)
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page.parent / path
        assert target.is_file(), f"{name_of(page)}.md links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)}.md links to {link}"


def anchors(page):
    """Names of the headings of a page, as GitHub and MyST make them."""
    text = page.read_text("utf-8")
    included = re.findall(r"```\{include\} (\S+)", text)
    text += "".join((page.parent / file).read_text("utf-8") for file in included)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings
    }


def test_every_page_is_in_a_table_of_contents():
    index = (DOCS / "index.md").read_text("utf-8")
    listed = re.findall(r"^[\w/]+$", index, flags=re.MULTILINE)
    assert sorted([*listed, "index"]) == [name_of(page) for page in PAGES]


def test_the_api_page_has_every_public_name():
    text = (DOCS / "api.md").read_text("utf-8")
    documented = re.findall(r"^\.\. auto\w+:: slot_attention_tf\.(\w+)$", text, re.M)
    assert sorted(documented) == sorted(sa.__all__)


@pytest.mark.slow
@pytest.mark.skipif(
    bool(MISSING), reason=f"The pages need {', '.join(MISSING)}: install .[docs]"
)
def test_the_pages_build_without_a_warning(tmp_path):
    """Runs the code of all pages, and finds every public name in what is built."""
    command = (sys.executable, "-m", "sphinx", "-W", "-b", "html", "-j", "2")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [*command, DOCS, tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    api = (tmp_path / "api.html").read_text("utf-8")
    for name in sa.__all__:
        assert f'id="slot_attention_tf.{name}"' in api
    for page in PAGES:
        assert (tmp_path / f"{name_of(page)}.html").is_file()
    # Pictures that the pages drew.
    assert len(list((tmp_path / "_images").glob("*.png"))) > 20
    assert (tmp_path / "paper" / "index.html").is_file()
