"""Models that links name and the operator's list does not hold: fetched, and a few kept."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait

from stylegan.config import UserError
from stylegan.fetch import HubId
from stylegan.model import Model, load

MAX_KEPT = 4  # models beside those of the operator, the one asked for longest ago goes
MAX_BYTES = 512 << 20  # of a file that a link to anybody's model can make us fetch
PATIENCE_SEC = 8.0  # a visitor waits so long for a model; it goes on being fetched
ASK_AGAIN_SEC = 60.0  # after a refusal
MAX_REMEMBERED = 1000


class VisitingModels:
    """Revisions of the operator's repositories, or, where he allows it, of any."""

    def __init__(
        self,
        repos: Collection[str],
        device: str,
        any_model: bool,
        prepare: Callable[[Model], None],
    ) -> None:
        """`repos` are the repositories of the Hub, user/name, that the operator named."""
        self.repos, self.device, self.any_model = frozenset(repos), device, any_model
        self._prepare = prepare
        self.opened: dict[str, Model] = {}
        """By id; replaced whole, so that others may go through it."""
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._asked: OrderedDict[str, tuple[float, Future[Model]]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "fetch")

    def find(self, wanted: str) -> tuple[Model | None, str]:
        """The model of user/name@revision, and if there is none, why; "" for what is no concern."""
        hub = HubId.parse(wanted)
        if hub is None or not (self.any_model or hub.repo in self.repos):
            return None, ""
        if model := self.opened.get(self._ids.get(wanted, wanted)):
            return model, ""
        future = self._ask(wanted)
        if not wait([future], PATIENCE_SEC).done:
            return None, "it is still being fetched, open it again in a minute"
        try:
            return future.result(), ""
        except UserError as error:
            return None, str(error)

    def _ask(self, wanted: str) -> Future[Model]:
        """The fetching of a model that is under way, was just refused, or begins now."""
        with self._lock:
            asked, future = self._asked.get(wanted, (0.0, None))
            if future is None or (future.done() and time.monotonic() - asked > ASK_AGAIN_SEC):
                future = self._pool.submit(self._open, wanted)
                self._asked[wanted] = (time.monotonic(), future)
                while len(self._asked) > MAX_REMEMBERED:
                    self._asked.popitem(last=False)
            return future

    def _open(self, wanted: str) -> Model:
        trusted = HubId.parse(wanted).repo in self.repos
        model = load(wanted, self.device, most_bytes=None if trusted else MAX_BYTES)
        self._prepare(model)
        with self._lock:
            kept = {**{k: v for k, v in self.opened.items() if k != model.id}, model.id: model}
            self.opened = dict(list(kept.items())[-MAX_KEPT:])
            self._ids[wanted] = model.id
            while len(self._ids) > MAX_REMEMBERED:
                self._ids.popitem(last=False)
            self._asked = OrderedDict(
                (k, v) for k, v in self._asked.items() if self._ids.get(k) in {None, *self.opened}
            )
        return model
