"""Against a site served here: slow, busy, broken, redirecting, wrong and huge answers."""

import csv
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from drawing import drawing, encoded

from stylegan.collect import CollectConfig, CollectError, Outcome, collect
from stylegan.config import UserError
from train.__main__ import main


class Site:
    """Answers by path: bytes, (status, headers, bytes), or a function of how often it was asked."""

    def __init__(self):
        self.answers, self.asked, self.agents = {}, Counter(), set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked[self.path] += 1
                site.agents.add(self.headers["User-Agent"])
                answer = site.answers.get(self.path, (404, {}, b"no"))
                if callable(answer):
                    answer = answer(site.asked[self.path])
                if answer is None:  # the line goes dead
                    return
                status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def page(self, path: str, body: str, title: str = "Clubs") -> None:
        text = f"<html><title>{title}</title><h1>{title}</h1>{body}</html>"
        self.answers[path] = (200, {"Content-Type": "text/html; charset=utf-8"}, text.encode())


@pytest.fixture
def site():
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """How long was waited; nobody waits in tests."""
    slept = []
    monkeypatch.setattr("stylegan.collect._sleep", lambda sec: slept.append(sec))
    return slept


def run(src: str, dest: Path, **options) -> Outcome:
    return collect(CollectConfig(src, dest, **({"timeout_sec": 5.0} | options)))


def rows(dest: Path) -> list[dict[str, str]]:
    with (dest / "sources.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def listed(tmp_path: Path, site: Site, *paths: str) -> str:
    path = tmp_path / "list.txt"
    path.write_text("# pictures\n\n" + "\n".join(f"{site.url}{x}" for x in paths))
    return str(path)


def reasons(dest: Path) -> dict[str, str]:
    return {row["url"].rsplit("/", 1)[1]: row["status"] for row in rows(dest)}


class TestList:
    def test_pictures_and_their_sources(self, site, tmp_path):
        site.answers["/a.png"] = encoded(drawing(0))
        site.answers["/wrong-ending.gif"] = encoded(drawing(1), "JPEG")
        src = listed(tmp_path, site, "/a.png", "/wrong-ending.gif", "/a.png")
        result = run(src, tmp_path / "out", licence="CC0")
        assert (result.new, result.known, result.failed) == (2, 0, [])
        first, second = rows(tmp_path / "out")
        assert first["url"] == f"{site.url}/a.png"
        assert (first["width"], first["height"], first["licence"]) == ("96", "96", "CC0")
        assert second["file"].startswith("wrong-ending-") and second["file"].endswith(".jpg")
        assert (tmp_path / "out" / first["file"]).read_bytes() == site.answers["/a.png"]

    def test_rows_of_a_table(self, site, tmp_path):
        site.answers["/a.png"] = encoded(drawing(0))
        table = tmp_path / "list.csv"
        table.write_text(f"title;URL;licence\nSome Club;{site.url}/a.png;CC BY\n")
        run(str(table), tmp_path / "out")
        (row,) = rows(tmp_path / "out")
        assert row["file"].startswith("some-club-")
        assert (row["title"], row["licence"]) == ("Some Club", "CC BY")

    def test_what_is_wrong_is_named(self, site, tmp_path):
        picture = encoded(drawing(0))
        site.answers |= {
            "/good.png": picture,
            "/again.png": picture,
            "/text.png": b"<html>sorry</html>",
            "/empty.png": b"",
            "/cut.png": picture[:200],
            "/forbidden.png": (403, {}, b"no"),
            "/huge.png": (200, {"Content-Length": str(1 << 30)}, b"x"),
            "/swelling.png": (200, {"Content-Length": ""}, bytes(3 << 20)),
            "/round.png": (302, {"Location": "/round.png"}, b""),
            "/out.png": (302, {"Location": "file:///etc/passwd"}, b""),
        }
        src = listed(tmp_path, site, *site.answers, "/none.png")
        result = run(src, tmp_path / "out", max_mb=2)
        assert result.new == 1
        found = reasons(tmp_path / "out")
        assert found.pop("cut.png").startswith("damaged or unreadable")
        assert found.pop("again.png").startswith("the same file as good-")
        assert found == {
            "good.png": "ok",
            "text.png": "not a picture of a known kind",
            "empty.png": "an empty file",
            "forbidden.png": "status 403",
            "huge.png": "more than 2 MB",
            "swelling.png": "more than 2 MB",
            "round.png": "more than 8 redirections",
            "out.png": "not a web address",
            "none.png": "status 404",
        }
        assert len(list((tmp_path / "out").glob("*.png"))) == 1

    def test_redirections_are_followed(self, site, tmp_path):
        site.answers["/old.png"] = (301, {"Location": "new/place.png"}, b"")
        site.answers["/new/place.png"] = encoded(drawing(0))
        assert run(listed(tmp_path, site, "/old.png"), tmp_path / "out").new == 1

    def test_names_cannot_lead_out(self, site, tmp_path):
        site.answers["/..%2f..%2fevil.png"] = encoded(drawing(0))
        run(listed(tmp_path, site, "/..%2f..%2fevil.png"), tmp_path / "deep" / "out")
        (row,) = rows(tmp_path / "deep" / "out")
        assert "/" not in row["file"] and (tmp_path / "deep" / "out" / row["file"]).is_file()


class TestPatience:
    def test_busy_servers_are_asked_again_after_what_they_say(self, site, tmp_path, naps):
        busy = (503, {"Retry-After": "7"}, b"")
        site.answers["/a.png"] = lambda n: busy if n < 3 else encoded(drawing(0))
        assert run(listed(tmp_path, site, "/a.png"), tmp_path / "out").new == 1
        assert naps.count(7.0) == 2

    def test_pauses_double_and_end(self, site, tmp_path, naps):
        site.answers["/a.png"] = (500, {}, b"")
        result = run(listed(tmp_path, site, "/a.png"), tmp_path / "out", retries=3)
        assert [source.status for source in result.failed] == ["status 500"]
        assert site.asked["/a.png"] == 4
        assert [nap for nap in naps if nap in (1.0, 2.0, 4.0, 8.0)] == [1.0, 2.0, 4.0]

    def test_dead_lines_and_slow_answers(self, site, tmp_path):
        def slow(_: int):
            time.sleep(0.6)
            return encoded(drawing(0))

        site.answers |= {"/dead.png": lambda _: None, "/slow.png": slow}
        src = listed(tmp_path, site, "/dead.png", "/slow.png")
        result = run(src, tmp_path / "out", retries=1, timeout_sec=0.2)
        assert all(x.status.startswith("no answer") for x in result.failed)
        site.answers |= {"/dead.png": encoded(drawing(1)), "/slow.png": encoded(drawing(0))}
        assert run(src, tmp_path / "out").new == 2  # such failures pass

    def test_pauses_between_requests(self, site, tmp_path, naps):
        site.answers["/robots.txt"] = b"User-agent: *\nCrawl-delay: 40\n"
        site.answers |= {f"/{i}.png": encoded(drawing(i)) for i in range(3)}
        run(listed(tmp_path, site, "/0.png", "/1.png", "/2.png"), tmp_path / "out")
        assert sum(nap > 30 for nap in naps) == 2


class TestManners:
    def test_robots_txt_is_obeyed_and_asked_for_once(self, site, tmp_path):
        rules = b"User-agent: stylegan-collect\nDisallow: /private/\n"
        site.answers |= {"/robots.txt": rules, "/a.png": encoded(drawing(0))}
        site.answers["/private/b.png"] = encoded(drawing(1))
        run(listed(tmp_path, site, "/private/b.png", "/a.png"), tmp_path / "out")
        assert reasons(tmp_path / "out") == {"b.png": "robots.txt does not allow it", "a.png": "ok"}
        assert site.asked["/private/b.png"] == 0
        assert site.asked["/robots.txt"] == 1

    def test_without_rules_that_can_be_read_nothing_is_taken(self, site, tmp_path):
        site.answers |= {"/robots.txt": (500, {}, b""), "/a.png": encoded(drawing(0))}
        assert run(listed(tmp_path, site, "/a.png"), tmp_path / "out", retries=0).new == 0
        assert site.asked["/a.png"] == 0

    def test_a_name_is_given(self, site, tmp_path):
        site.answers["/a.png"] = encoded(drawing(0))
        run(listed(tmp_path, site, "/a.png"), tmp_path / "out", agent="mine/1 (me@example.org)")
        assert site.agents == {"mine/1 (me@example.org)"}


class TestPage:
    def clubs(self, site: Site) -> str:
        site.page(
            "/list",
            "<a href='/elsewhere'>x</a><table><tr><td><a href='club/1#top'>One</a>"
            "<td><a href='/club/2'>Two</a><a href='/club/1'>One</a>"
            "<tr><td><a href='/club/3'>Three</a><a href='mailto:x@example.org'>m</a></table>",
        )
        box = "<img src='/logo.png'><div class='box'><img src='{}' srcset='{}'></div>"
        site.page("/club/1", box.format("/1.png", "/1-small.png 1x, /1-large.png 2x"), "FC One")
        site.page("/club/2", "<p>no picture</p>", "FC Two")
        licence = "<a rel='license' href='https://example.org/cc0'>CC0</a>"
        site.page("/club/3", box.format("/3.png", "") + licence, "FC Three")
        site.answers["/1-large.png"] = encoded(drawing(1))
        site.answers["/3.png"] = encoded(drawing(3))
        return f"{site.url}/list"

    def test_the_pages_that_links_lead_to(self, site, tmp_path):
        page = self.clubs(site)
        result = run(page, tmp_path / "out", links="table a", image=".box img")
        assert result.new == 2
        one, two, three = rows(tmp_path / "out")
        assert (one["title"], one["page"]) == ("FC One", f"{site.url}/club/1")
        assert one["url"].endswith("/1-large.png") and one["file"].startswith("fc-one-")
        assert two["status"] == "no picture that fits '.box img'"
        assert three["licence"] == "https://example.org/cc0"
        assert site.asked["/elsewhere"] == site.asked["/logo.png"] == 0

    def test_stopped_it_goes_on_and_asks_for_nothing_twice(self, site, tmp_path):
        page = self.clubs(site)
        options = {"links": "table", "image": ".box"}
        assert run(page, tmp_path / "out", limit=1, **options).new == 1
        assert run(page, tmp_path / "out", **options).new == 1
        before = site.asked.copy()
        last = run(page, tmp_path / "out", **options)
        assert (last.new, last.known) == (0, 2)
        assert set(site.asked - before) == {"/list", "/robots.txt"}

    def test_killed_between(self, site, tmp_path):
        page = self.clubs(site)

        def stop(line: str) -> None:
            raise KeyboardInterrupt

        config = CollectConfig(page, tmp_path / "out", links="table a", image=".box img")
        with pytest.raises(KeyboardInterrupt):
            collect(config, stop)
        assert [row["title"] for row in rows(tmp_path / "out")] == ["FC One"]
        assert collect(config).known == 1

    def test_a_file_taken_away_is_asked_for_again(self, site, tmp_path):
        site.answers["/a.png"] = encoded(drawing(0))
        src = listed(tmp_path, site, "/a.png")
        run(src, tmp_path / "out")
        next((tmp_path / "out").glob("a-*.png")).unlink()
        assert run(src, tmp_path / "out").new == 1

    def test_pictures_of_the_page_itself(self, site, tmp_path):
        site.page("/", "<img data-src='/a.png' src='data:x'><img src='b.png'><img src='/a.png'>")
        site.answers |= {"/a.png": encoded(drawing(0)), "/b.png": encoded(drawing(1))}
        assert run(f"{site.url}/", tmp_path / "out").new == 2

    @pytest.mark.parametrize(
        "options, said",
        [
            ({"links": "a.none"}, "no link that fits 'a.none'"),
            ({"image": ".none"}, "no picture that fits '.none'"),
            ({"links": "a[["}, "not a CSS selector"),
        ],
    )
    def test_selectors_that_find_nothing(self, site, tmp_path, options, said):
        site.page("/", "<a href='/x'>x</a>")
        with pytest.raises(CollectError, match=said.replace("[", r"\[")):
            run(f"{site.url}/", tmp_path / "out", **options)

    def test_a_page_that_is_none(self, site, tmp_path):
        site.answers["/"] = (200, {"Content-Type": "application/pdf"}, b"%PDF")
        with pytest.raises(CollectError, match="not a page but application/pdf"):
            run(f"{site.url}/", tmp_path / "out")


class TestHub:
    def test_rows_of_a_streamed_set(self, tmp_path, monkeypatch):
        class Image:
            def __init__(self, decode=True):
                self.decode = decode

        class Rows(list):
            def __init__(self, rows):
                super().__init__(rows)
                self.features = {"label": None, "photo": Image()}
                self.info = SimpleNamespace(license="mit")

            def cast_column(self, column, kind):
                assert (column, kind.decode) == ("photo", False)
                return self

        def load_dataset(name, split, streaming):
            assert (name, split, streaming) == ("some/set", "train", True)
            good = {"photo": {"bytes": encoded(drawing(0)), "path": "0.png"}}
            return Rows([good, {"photo": {"bytes": None, "path": "x"}}])

        fake = SimpleNamespace(Image=Image, load_dataset=load_dataset)
        monkeypatch.setitem(sys.modules, "datasets", fake)
        result = run("hf://datasets/some/set", tmp_path / "out")
        assert result.new == 1
        first, second = rows(tmp_path / "out")
        assert first["url"] == "hf://datasets/some/set#train-0" and first["licence"] == "mit"
        assert second["status"] == "no bytes in the data set"


class TestCommand:
    def test_says_what_was_done(self, site, tmp_path, capsys):
        site.answers["/a.png"] = encoded(drawing(0))
        src = listed(tmp_path, site, "/a.png", "/b.png")
        assert main(["collect", src, str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        assert "1 new pictures" in said and "1  status 404" in said and "sources.csv" in said

    @pytest.mark.parametrize(
        "src, said", [("nowhere.txt", "neither a page's address nor a file"), ("", "neither")]
    )
    def test_refused(self, tmp_path, capsys, src, said):
        assert main(["collect", src, str(tmp_path / "out")]) == 2
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize(
        "options",
        [{"delay_sec": -1.0}, {"max_mb": 0.0}, {"limit": 0}, {"agent": "a\nb"}, {"agent": " "}],
    )
    def test_settings(self, options):
        with pytest.raises(UserError):
            CollectConfig("x", Path("y"), **options)

    def test_foreign_list(self, site, tmp_path):
        (tmp_path / "sources.csv").write_text("a,b\n1,2\n")
        with pytest.raises(CollectError, match="not a list that collect has written"):
            run(listed(tmp_path, site, "/a.png"), tmp_path)
