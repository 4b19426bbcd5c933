import shutil
from pathlib import Path

import pytest
from gradio.utils import get_function_description

from stylegan.tabs.page import appearance, build
from stylegan.tabs.session import Session

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "<b>&co"
    shutil.copytree(TINY, folder)
    return build(Session([folder], folder.parent / "files", "cpu"))


def test_only_what_is_meant_to_be_is_public(page):
    public = [fn for fn in page.fns.values() if fn.api_visibility == "public"]
    names = [fn.api_name for fn in public if fn.api_name]
    assert names == ["seeds", "interpolate", "mix", "edit", "project"]


def test_what_machines_read_of_endpoints_is_whole(page):
    """gradio takes the first line alone of what is said of an argument."""
    for fn in page.fns.values():
        if fn.api_visibility == "public" and fn.api_name:
            words, arguments, returned = get_function_description(fn.fn)
            assert arguments and returned
            assert all(text.rstrip().endswith(".") for text in (words, *arguments.values()))


def test_names_are_text(page):
    blocks = page.blocks.values()
    heading = next(block.value for block in blocks if block.get_block_name() == "html")
    assert "&lt;b&gt;&amp;co" in heading and "<b>" not in heading
    assert "16 × 16 pixels" in heading


def test_the_looks_come_from_here():
    looks = appearance()
    for text in (looks["css"], looks["head"]):
        outside = text.replace("https://huggingface.co", "")  # told of its query around a Space
        assert "http://" not in outside and "https://" not in outside
    assert looks["footer_links"] == []
