import hashlib
import http.server
import threading
from contextlib import contextmanager

import pytest

from stylegan.fetch import FetchError, cache_folder, fetch_file

DATA = b"weights" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


@contextmanager
def server(data=DATA, told=None):
    """A local server of one file; yields its URL and the list of requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path != "/file":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(told or len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/file", asked
        finally:
            httpd.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_fetched_once_and_its_hash_kept(cache):
    said = []
    with server() as (url, asked):
        path = fetch_file(url, "a.bin", say=said.append)
        assert path == cache / "a.bin" and path.read_bytes() == DATA
        assert (cache / "a.bin.sha256").read_text() == f"{SHA}\n"
    assert fetch_file(url, "a.bin", say=said.append) == path  # the server is gone
    assert asked == ["/file"] and said == [f"fetching {url} to {path}, once"]


def test_a_file_that_changed_is_refused(cache):
    with server() as (url, _):
        path = fetch_file(url, "a.bin")
    path.write_bytes(b"other")
    with pytest.raises(FetchError, match=r"not what it was .*delete it"):
        fetch_file(url, "a.bin")
    path.unlink()
    with server(b"other") as (url, _), pytest.raises(FetchError, match="not what it was"):
        fetch_file(url, "a.bin")


def test_a_known_hash_is_compared_before_the_file_takes_its_place(cache):
    with server() as (url, _):
        assert fetch_file(url, "good", sha256=SHA).is_file()
        with pytest.raises(FetchError, match="is not the file it was"):
            fetch_file(url, "bad", sha256="0" * 64)
    assert not (cache / "bad").exists()


def test_offline_and_broken_downloads_say_where_to_put_the_file(cache):
    with server() as (url, _):
        pass
    with pytest.raises(FetchError, match=rf"cannot be fetched .*save it as {cache}/a.bin"):
        fetch_file(url, "a.bin")
    with server() as (url, _), pytest.raises(FetchError, match="Not Found"):
        fetch_file(f"{url}s", "a.bin")
    with server(told=len(DATA) + 1) as (url, _), pytest.raises(FetchError, match=r"broke off|read"):
        fetch_file(url, "a.bin")
    assert not list(cache.glob("*"))


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("STYLEGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "stylegan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "stylegan"
