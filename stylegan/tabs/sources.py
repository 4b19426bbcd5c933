"""Seeds and latents as visitors type them; a latent stands there by a short name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stylegan.query import RecipeError, read_sources, shown

MARK = "w:"  # no seed begins so
NAME_CHARS = 6
SHORTEST_RANGE = 3  # seeds

Sources = tuple[int | str, ...]


def read_typed(text: str, known: Sequence[str], most: int) -> Sources:
    """Sources of "1-5,9,w:Ab3xYz": at most so many, latents by their names among those known."""
    named = {name: latent for latent, name in _names(known).items()}
    sources: Sources = ()
    for part in text.split(","):
        part = part.strip()
        if part.startswith(MARK):
            if part not in named:
                raise RecipeError(
                    f"there is no latent {shown(part)} here; pictures come in from other tabs"
                )
            sources += (named[part],)
        else:
            sources += read_sources(part, most)
        if len(sources) > most:
            raise RecipeError(f"more than {most} seeds and latents are asked for")
    return sources


def to_typed(sources: Iterable[int | str], known: Sequence[str]) -> str:
    """The text that `read_typed` reads back, seeds that count up as a range."""
    names = _names(known)
    parts: list[list[int] | str] = []
    for source in sources:
        last = parts[-1] if parts else None
        if isinstance(source, str):
            parts.append(names[source])
        elif isinstance(last, list) and last[-1] == source - 1:
            last.append(source)
        else:
            parts.append([source])
    return ",".join(part if isinstance(part, str) else _counted(part) for part in parts)


def learned(known: Sequence[str], sources: Iterable[int | str], most: int) -> tuple[str, ...]:
    """The known latents with those of `sources`; what nothing names was known longest goes first.

    Names stay as they are for as long as there are not too many.
    """
    used = dict.fromkeys(source for source in sources if isinstance(source, str))
    all_known = list(dict.fromkeys([*known, *used]))
    unused = [latent for latent in all_known if latent not in used]
    gone = set(unused[: max(0, len(all_known) - most)])
    return tuple(latent for latent in all_known if latent not in gone)


def _names(known: Sequence[str]) -> dict[str, str]:
    """A name for each latent: its first letters, and a number where these are not its own."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for latent in known:
        start = MARK + latent[:NAME_CHARS]
        name, count = start, 2
        while name in taken:
            name, count = f"{start}~{count}", count + 1
        taken.add(name)
        names[latent] = name
    return names


def _counted(seeds: Sequence[int]) -> str:
    """Seeds that count up, as in 4-9."""
    if len(seeds) < SHORTEST_RANGE:
        return ",".join(map(str, seeds))
    return f"{seeds[0]}-{seeds[-1]}"
