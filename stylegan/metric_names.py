"""The names of metrics, as papers write them: what each asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stylegan.config import UserError

Family = Literal["fid", "kid", "pr", "is", "ppl", "swd", "memorisation", "diversity"]
MOST = 10_000_000  # pictures

PATTERNS = {  # family -> how its names look, and what people read of that
    "fid": (r"fid(?P<n>\d+k?)_(?P<by>full|disc)", "fid50k_full"),
    "kid": (r"kid(?P<n>\d+k?)_(?P<by>full|disc)", "kid50k_full"),
    "pr": (r"pr(?P<n>\d+k?)(?P<k>[1-9])_(?P<by>full|disc)", "pr50k3_full"),
    "is": (r"is(?P<n>\d+k?)", "is50k"),
    "ppl": (
        r"ppl(?:2_(?=wend)|_(?!wend))(?P<space>[zw])(?P<ends>full|end)(?P<disc>_disc)?",
        "ppl2_wend",
    ),
    "swd": (r"swd", "swd"),
    "memorisation": (r"memorisation", "memorisation"),
    "diversity": (r"diversity", "diversity"),
}
HIGHER_IS_BETTER = ("pr", "is", "diversity")  # how the names of such metrics begin
MORE = "fid5k_full, fid50k_disc and the like, ppl_wfull, ppl_zend, ppl_zfull"


@dataclass(frozen=True)
class Metric:
    """A metric as its name asks for it."""

    name: str
    family: Family
    n: int | None = None
    """Generated pictures, or pairs of them; none where the family has its own number."""
    disc: bool = False
    """By the discriminator's features, not by a detector file's."""
    k: int = 3
    """Neighbours, of precision and recall."""
    space: Literal["z", "w"] = "w"
    """Where paths lead through."""
    full: bool = False
    """Path lengths all along the way, not at its end."""

    @property
    def needs_file(self) -> bool:
        """Whether it works by a detector file."""
        return self.family in ("fid", "kid", "pr", "is", "ppl") and not self.disc


def parse(name: str) -> Metric:
    """The metric of a name; one that is not there is named with what there is."""
    for family, (pattern, _) in PATTERNS.items():
        found = re.fullmatch(pattern, name)
        if not found:
            continue
        parts = found.groupdict()
        n = _number(name, parts["n"]) if "n" in parts else None
        return Metric(
            name,
            family,
            n,
            disc=bool(parts.get("disc")) or parts.get("by") == "disc",
            k=int(parts.get("k", 3)),
            space=parts.get("space", "w"),
            full=parts.get("ends") == "full",
        )
    raise UserError(f"there is no metric {name!r}; there are: {KNOWN}")


def parse_all(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, each once."""
    return [parse(name) for name in dict.fromkeys(names)]


def higher_is_better(name: str) -> bool:
    """Whether the larger of two such numbers is the better one."""
    return name.startswith(HIGHER_IS_BETTER)


KNOWN = ", ".join(example for _, example in PATTERNS.values()) + f"; also {MORE}"


def _number(name: str, text: str) -> int:
    number = int(text.removesuffix("k")) * (1000 if text.endswith("k") else 1)
    if not 1 < number <= MOST:
        raise UserError(f"{name} asks for {number} pictures; from 2 to {MOST} can be measured")
    return number
