"""One thread a test process: small tensors gain nothing from more, and waiting threads spin."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, here or below

from hub_fixtures import hub  # noqa: F401
from publishing import trained, trained_run  # noqa: F401
from reading import clone  # noqa: F401
