"""The order in which a page's scripts and style sheets come."""

from __future__ import annotations

from pathlib import Path

from stylegan.tabs import dress as module
from stylegan.tabs.dress import dress


def test_parts_come_before_the_whole_and_page_before_all(tmp_path, monkeypatch):
    for name in ("desk.js", "desk-shelf.js", "page.js", "another.js", "page.css"):
        (tmp_path / name).write_text(f"// {name}", encoding="utf-8")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "dress.py"))
    names = {Path(name).stem for name in ("desk.js", "desk-shelf.js", "page.js", "another.js")}
    looks = dress(names, "start();")
    ordered = ["page.js", "another.js", "desk-shelf.js", "desk.js"]
    script = "\n".join(f"// {name}" for name in ordered)
    assert looks["head"] == f"<script>{script}\nstart();</script>"
    assert looks["css"] == "// page.css"
