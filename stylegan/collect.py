"""Pictures from the web, politely: from a page that leads to them, a list of addresses, or a set.

One request at a time, a pause between two to the same host, robots.txt obeyed, and a name that says
who asks. sources.csv in the target folder says where each file came from and under which licence; a
second call asks only for what is not there yet.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

from filelock import FileLock, Timeout
from PIL import Image

from stylegan.atomic import replacing_file
from stylegan.config import UserError
from stylegan.extras import need
from stylegan.labels import read_csv
from stylegan.pictures import PictureError, open_picture

AGENT = "stylegan-collect/0.1"
SOURCES, LOCK = "sources.csv", ".collect.lock"
PAGE_BYTES = 20 << 20
ROBOTS_BYTES = 500 << 10  # RFC 9309 asks for at least that much to be read
REDIRECTS = 8
LONGEST_PAUSE_S = 120.0
AGAIN = (408, 425, 429, 500, 502, 503, 504)
PASSING = re.compile(rf"no answer|slower|status ({'|'.join(map(str, AGAIN))})")  # asked again
ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
URL_COLUMNS = ("url", "image_url", "link", "src")
HUB = "hf://datasets/"


class CollectError(UserError):
    """A source from which nothing can be collected."""


@dataclass(frozen=True)
class CollectConfig:
    """What `collect` reads, and how politely."""

    src: str
    """PAGE_OR_LIST: a page's address, a text or CSV file of picture addresses, or
    hf://datasets/USER/NAME for a data set on the Hub."""
    dest: Path
    """DEST: the folder to write pictures and sources.csv into."""
    links: str | None = None
    """CSS selector of the links on the page that lead to pages with a picture each, such as
    'table.wikitable td:first-child a'; without it the pictures are taken from the page itself."""
    image: str = "img"
    """CSS selector of the picture on a page, such as '.infobox-image img'."""
    every: bool = False
    """Take every picture that fits on each page that is led to, not only the first."""
    limit: int | None = None
    """Stop after so many pictures."""
    delay_sec: float = 1.0
    """Pause between two requests to a host; more where its robots.txt asks for more."""
    timeout_sec: float = 30.0
    """Give a request up after so long without an answer."""
    retries: int = 4
    """Times to ask again where a server is busy or does not answer, each after twice the pause."""
    max_mb: float = 32.0
    """Refuse files larger than this."""
    agent: str = AGENT
    """Name told to servers; put an address in it where you can be reached."""
    licence: str = ""
    """Written into sources.csv for every picture, where the source does not say it."""
    column: str | None = None
    """Column with the addresses, of a CSV file, or with the pictures, of a data set."""
    subset: str = "train"
    """Part of the data set on the Hub."""
    again: bool = False
    """Ask once more for what was refused in an earlier call; where a server was busy or did not
    answer, it is asked in any case."""

    def __post_init__(self) -> None:
        for name, least in (("delay_sec", 0), ("retries", 0)):
            if getattr(self, name) < least:
                raise CollectError(f"{name} {getattr(self, name)} is less than {least}")
        for name in ("timeout_sec", "max_mb"):
            if not getattr(self, name) > 0:
                raise CollectError(f"{name} {getattr(self, name)} is not a positive number")
        if self.limit is not None and self.limit < 1:
            raise CollectError(f"limit {self.limit} is less than 1")
        if not self.agent.strip() or not self.agent.isascii() or not self.agent.isprintable():
            raise CollectError("agent is not a name in ASCII letters")

    @property
    def max_bytes(self) -> int:
        """Of one picture."""
        return int(self.max_mb * (1 << 20))


@dataclass(frozen=True)
class Source:
    """A line of sources.csv."""

    file: str
    """Name in the folder; empty where there is none."""
    url: str
    """Address of the picture."""
    page: str = ""
    """Address of the page that showed it."""
    title: str = ""
    """The page's title."""
    licence: str = ""
    status: str = "ok"
    """ok, or why there is no file."""
    sha256: str = ""
    width: int = 0
    height: int = 0


@dataclass
class Outcome:
    """What a call did."""

    new: int = 0
    known: int = 0
    failed: list[Source] = field(default_factory=list)

    def summary(self, config: CollectConfig) -> str:
        """For the person at the keyboard."""
        lines = [f"{self.new} new pictures in {config.dest}, {self.known} were there already"]
        reasons = Counter(source.status for source in self.failed)
        if reasons:
            lines.append(f"{len(self.failed)} not taken:")
            lines += [f"  {count:5}  {reason}" for reason, count in reasons.most_common(12)]
            lines.append("  (--again asks once more for them)")
        lines.append(f"where each is from: {config.dest / SOURCES}")
        return "\n".join(lines)


class _Refused(Exception):
    """Why an address gives nothing; its text is the reason."""


def collect(config: CollectConfig, tell: Callable[[str], object] = lambda line: None) -> Outcome:
    """Collect; `tell` hears of each picture. A call that is stopped is gone on with by the next."""
    config.dest.mkdir(parents=True, exist_ok=True)
    lock = FileLock(config.dest / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CollectError(f"another process is collecting into {config.dest}") from None
    try:
        with ExitStack() as stack:
            book = _Book(config.dest / SOURCES)
            if config.src.startswith(HUB):
                found = _from_hub(config, book)
            else:
                web = stack.enter_context(_Web(config))
                found = _from_web(config, web, book)
            stack.callback(book.save)
            return _take_all(config, found, book, tell)
    finally:
        lock.release()


def _take_all(
    config: CollectConfig,
    found: Iterator[tuple[Source, Callable[[], bytes]]],
    book: _Book,
    tell: Callable[[str], object],
) -> Outcome:
    outcome = Outcome()
    for source, fetch in found:
        if config.limit is not None and outcome.new + outcome.known >= config.limit:
            break
        if book.has(source.url, config.again):
            outcome.known += book.sources[source.url].status == "ok"
            continue
        source = _take(source, fetch, config, book)
        book.add(source)
        if source.file:
            outcome.new += 1
        else:
            outcome.failed.append(source)
        tell(f"{source.url}  {source.file or source.status}")
    return outcome


def _take(source: Source, fetch: Callable[[], bytes], config: CollectConfig, book: _Book) -> Source:
    """The file written and the line for it, or the line that says why not."""
    told = {x.name: getattr(source, x.name) for x in fields(Source)}
    try:
        data = fetch()
        digest = hashlib.sha256(data).hexdigest()
        if digest in book.by_digest:
            raise _Refused(f"the same file as {book.by_digest[digest]}")
        image = open_picture(data)
        width, height = image.size
        with Image.open(io.BytesIO(data)) as opened:
            form = opened.format or ""
    except (_Refused, PictureError) as error:
        return Source(**told | {"status": str(error), "licence": source.licence or config.licence})
    ending = ENDINGS.get(form, f".{form.lower()}")
    name = f"{_file_stem(source)}-{digest[:8]}{ending}"
    with replacing_file(config.dest / name) as beside:
        beside.write_bytes(data)
    return Source(
        **told
        | {
            "file": name,
            "sha256": digest,
            "width": width,
            "height": height,
            "licence": source.licence or config.licence,
        }
    )


def _file_stem(source: Source) -> str:
    """A short name out of the page's title or the address, safe on any disk."""
    text = source.title or unquote(Path(urlsplit(source.url).path).stem)
    words = re.sub(r"[^\w]+", "-", text).strip("-_").lower()
    return words[:60] or "picture"


class _Book:
    """sources.csv: read at the start, a line added as each address is done with."""

    def __init__(self, path: Path):
        self.path = path
        self.sources: dict[str, Source] = {}
        self.by_digest: dict[str, str] = {}
        if path.exists():
            self._read()
        self._columns = [x.name for x in fields(Source)]
        if not self.sources:
            self._write([])

    def _read(self) -> None:
        columns, rows = read_csv(self.path)
        if not {"file", "url", "status"} <= set(columns):
            raise CollectError(f"{self.path} is not a list that collect has written")
        for row in rows:
            number = {
                x: int(row[x]) if (row.get(x) or "").isdigit() else 0 for x in ("width", "height")
            }
            words = {x.name: row.get(x.name) or "" for x in fields(Source) if x.name not in number}
            source = Source(**words, **number)
            if source.file and not (self.path.parent / source.file).is_file():
                continue  # taken away by hand, so asked for again
            self._keep(source)

    def has(self, url: str, again: bool) -> bool:
        """Whether nothing is to be asked for at that address."""
        known = self.sources.get(url)
        if known is None or known.status == "ok":
            return known is not None
        return not again and not PASSING.match(known.status)

    def add(self, source: Source) -> None:
        """Kept at once, so that a call that is killed has told what it did."""
        self._keep(source)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(astuple(source))

    def save(self) -> None:
        """Written anew, each address once."""
        self._write(list(self.sources.values()))

    def _keep(self, source: Source) -> None:
        self.sources[source.url] = source
        if source.sha256 and source.file:
            self.by_digest.setdefault(source.sha256, source.file)

    def _write(self, sources: list[Source]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._columns)
        writer.writerows(map(astuple, sources))
        with replacing_file(self.path) as beside:
            beside.write_text(text.getvalue(), encoding="utf-8", newline="")


class _Web:
    """Requests, one at a time, with manners."""

    def __init__(self, config: CollectConfig):
        self.config = config
        self.httpx = need("httpx")
        self._client = self.httpx.Client(
            headers={"User-Agent": config.agent}, timeout=config.timeout_sec
        )
        self._robots: dict[str, RobotFileParser | None] = {}
        self._next: dict[str, float] = {}  # host -> when it may be asked again

    def __enter__(self) -> _Web:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str, limit: int) -> tuple[bytes, str, str]:
        """A body of at most `limit` bytes, its content type, and the address that gave it."""
        for _ in range(REDIRECTS + 1):
            if urlsplit(url).scheme not in ("http", "https"):
                raise _Refused("not a web address")
            self._ask_leave(url)
            answer = self._patiently(url, limit)
            if isinstance(answer, tuple):
                return *answer, url
            url = urljoin(url, answer)
        raise _Refused(f"more than {REDIRECTS} redirections")

    def _patiently(self, url: str, limit: int) -> tuple[bytes, str] | str:
        """A body and its type, or where to go instead; asks again while the server is busy."""
        pause = max(1.0, self.config.delay_sec)
        for attempt in range(self.config.retries + 1):
            self._wait(url)
            try:
                answer = self._once(url, limit)
            except (self.httpx.TransportError, self.httpx.InvalidURL) as error:
                if isinstance(error, (self.httpx.InvalidURL, self.httpx.UnsupportedProtocol)):
                    raise _Refused("not a web address") from None
                reason, wanted = f"no answer ({type(error).__name__})", None
            else:
                if not isinstance(answer, _Busy):
                    return answer
                reason, wanted = f"status {answer.status}", answer.wait_sec
            if attempt < self.config.retries:
                _sleep(min(LONGEST_PAUSE_S, max(wanted or 0.0, pause * 2**attempt)))
        raise _Refused(reason)

    def _once(self, url: str, limit: int) -> tuple[bytes, str] | str | _Busy:
        started = time.monotonic()
        with self._client.stream("GET", url) as answer:
            status = answer.status_code
            if status in AGAIN:
                return _Busy(status, _seconds(answer.headers.get("retry-after")))
            if answer.is_redirect and "location" in answer.headers:
                return answer.headers["location"]
            if status != 200:
                raise _Refused(f"status {status}")
            said = answer.headers.get("content-length", "")
            if said.isdigit() and int(said) > limit:
                raise _Refused(f"more than {limit / (1 << 20):g} MB")
            body = bytearray()
            for part in answer.iter_bytes(1 << 16):
                body += part
                if len(body) > limit:
                    raise _Refused(f"more than {limit / (1 << 20):g} MB")
                if time.monotonic() - started > 10 * self.config.timeout_sec:
                    raise _Refused("slower than can be waited for")
            return bytes(body), answer.headers.get("content-type", "")

    def _wait(self, url: str) -> None:
        host = urlsplit(url).netloc
        _sleep(self._next.get(host, 0.0) - time.monotonic())
        rules = self._robots.get(host)
        asked = rules.crawl_delay(self.config.agent) if rules else None
        pause = min(LONGEST_PAUSE_S, max(self.config.delay_sec, float(asked or 0)))
        self._next[host] = time.monotonic() + pause

    def _ask_leave(self, url: str) -> None:
        """Read the host's robots.txt once, and refuse what it does not allow."""
        parts = urlsplit(url)
        if parts.netloc not in self._robots:
            self._robots[parts.netloc] = None  # while it is asked for itself
            self._robots[parts.netloc] = self._read_robots(f"{parts.scheme}://{parts.netloc}")
        rules = self._robots[parts.netloc]
        if rules is not None and not rules.can_fetch(self.config.agent, url):
            raise _Refused("robots.txt does not allow it")

    def _read_robots(self, site: str) -> RobotFileParser:
        """RFC 9309: not there means all is allowed, out of order means nothing is."""
        rules = RobotFileParser()
        place = f"{site}/robots.txt"
        try:
            for _ in range(5):
                answer = self._patiently(place, ROBOTS_BYTES)
                if isinstance(answer, tuple):
                    rules.parse(answer[0].decode("utf-8", "replace").splitlines())
                    return rules
                place = urljoin(place, answer)
            rules.allow_all = True
        except _Refused as refusal:
            gone = re.fullmatch(r"status 4\d\d", str(refusal)) and str(refusal) != "status 429"
            rules.allow_all, rules.disallow_all = bool(gone), not gone
        return rules


@dataclass(frozen=True)
class _Busy:
    status: int
    wait_sec: float | None


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is taken for the usual pause."""
    return float(text) if text and text.isdigit() else None


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


def _from_web(
    config: CollectConfig, web: _Web, book: _Book
) -> Iterator[tuple[Source, Callable[[], bytes]]]:
    """Pictures by address, with what fetches each."""
    if urlsplit(config.src).scheme in ("http", "https"):
        found = _from_page(config, web, book)
    else:
        found = _from_list(config)
    for source in found:
        if source.status != "ok":
            yield source, _refuses(source.status)
        else:
            yield source, lambda url=source.url: web.get(url, config.max_bytes)[0]


def _refuses(reason: str) -> Callable[[], bytes]:
    def fetch() -> bytes:
        raise _Refused(reason)

    return fetch


def _from_list(config: CollectConfig) -> Iterator[Source]:
    """Lines of a text file, or rows of a CSV file with a column of addresses."""
    path = Path(config.src)
    if not path.is_file():
        raise CollectError(f"{config.src} is neither a page's address nor a file")
    if path.suffix.lower() in (".csv", ".tsv"):
        columns, rows = read_csv(path)
        known = {name.lower(): name for name in columns}
        column = config.column or next((known[x] for x in URL_COLUMNS if x in known), None)
        if column not in columns:
            raise CollectError(f"say which --column of {path} holds the addresses: {columns}")
        for row in rows:
            url = (row.get(column) or "").strip()
            if url:
                extra = {x: (row.get(known.get(x, "")) or "").strip() for x in ("title", "licence")}
                yield Source("", url, **extra)
        return
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise CollectError(f"{path} cannot be read as text") from None
    urls = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not urls:
        raise CollectError(f"{path} holds no addresses")
    yield from (Source("", url) for url in dict.fromkeys(urls))


def _from_page(config: CollectConfig, web: _Web, book: _Book) -> Iterator[Source]:
    """The pictures of a page, or of the pages that its links lead to."""
    try:
        page, address = _read_page(web, config.src)
    except _Refused as refusal:
        raise CollectError(f"{config.src}: {refusal}") from None
    if config.links is None:
        images = _pictures(page, address, config)
        if not images:
            raise CollectError(f"{config.src} has no picture that fits {config.image!r}")
        yield from images
        return
    links = _links(page, address, config)
    if not links:
        raise CollectError(f"{config.src} has no link that fits {config.links!r}")
    done: dict[str, list[Source]] = {}
    for source in book.sources.values():
        done.setdefault(source.page, []).append(source)
    for link in links:
        known = done.get(link, [])
        finished = known and all(book.has(source.url, config.again) for source in known)
        if finished:  # the page need not be asked for again
            yield from known
            continue
        try:
            page, address = _read_page(web, link)
            images = _pictures(page, address, config)
            if not images:
                raise _Refused(f"no picture that fits {config.image!r}")
        except _Refused as refusal:
            yield Source("", link, page=link, status=str(refusal))
            continue
        for source in images if config.every else images[:1]:
            yield Source("", source.url, link, source.title, source.licence)


def _read_page(web: _Web, url: str) -> tuple[Any, str]:
    """A parsed page and its address."""
    data, kind, address = web.get(url, PAGE_BYTES)
    if "html" not in kind:
        raise _Refused(f"not a page but {kind.partition(';')[0] or 'of no kind'}")
    return need("bs4").BeautifulSoup(data, "html.parser"), address


def _select(page: Any, selector: str) -> list[Any]:
    try:
        return page.select(selector)
    except Exception:  # the selector library has errors of its own
        raise CollectError(f"{selector!r} is not a CSS selector") from None


def _links(page: Any, address: str, config: CollectConfig) -> list[str]:
    """Addresses of links that fit, or that lie in what fits, each once."""
    urls = []
    for element in _select(page, config.links):
        for link in [element] if element.name == "a" else element.select("a"):
            if link.get("href"):
                urls.append(urldefrag(urljoin(address, link["href"]))[0])
    return [url for url in dict.fromkeys(urls) if urlsplit(url).scheme in ("http", "https")]


def _pictures(page: Any, address: str, config: CollectConfig) -> list[Source]:
    """Pictures that fit, or that lie in what fits, each once; the largest of those offered."""
    title = page.select_one("h1") or page.title
    title = " ".join(title.get_text().split()) if title else ""
    licence = page.select_one("a[rel~=license], link[rel~=license]")
    licence = urljoin(address, licence["href"]) if licence and licence.get("href") else ""
    found = {}
    for element in _select(page, config.image):
        for image in [element] if element.name == "img" else element.select("img"):
            url = _largest(image)
            if url and not url.startswith("data:"):
                url = urldefrag(urljoin(address, url))[0]
                found.setdefault(url, Source("", url, address, title, licence))
    return list(found.values())


def _largest(image: Any) -> str:
    """The address with the highest factor or width of srcset, else src or what stands in for it."""
    best, most = image.get("src") or image.get("data-src") or "", 1.0
    if best.startswith("data:"):
        best = image.get("data-src") or ""
    for entry in re.split(r",\s+", image.get("srcset") or ""):
        url, _, size = entry.strip().partition(" ")
        match = re.fullmatch(r"([\d.]+)[xw]", size.strip())
        if match and float(match[1]) > most:
            best, most = url, float(match[1])
    return best


def _from_hub(config: CollectConfig, book: _Book) -> Iterator[tuple[Source, Callable[[], bytes]]]:
    """Pictures of a data set on the Hub, streamed, undecoded."""
    datasets = need("datasets")
    name = config.src.removeprefix(HUB)
    try:
        rows = datasets.load_dataset(name, split=config.subset, streaming=True)
        column = config.column or next(
            (x for x, kind in (rows.features or {}).items() if isinstance(kind, datasets.Image)),
            None,
        )
        if column is None:
            raise CollectError(f"say which --column of {name} holds the pictures")
        rows = rows.cast_column(column, datasets.Image(decode=False))
        licence = getattr(rows.info, "license", "") or ""
    except (OSError, ValueError, KeyError) as error:
        raise CollectError(f"{name} cannot be read: {str(error).splitlines()[0][:200]}") from None
    for index, row in enumerate(rows):
        source = Source("", f"{config.src}#{config.subset}-{index}", config.src, licence=licence)
        data = (row[column] or {}).get("bytes")
        yield source, (lambda data=data: data) if data else _refuses("no bytes in the data set")
