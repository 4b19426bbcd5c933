import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan.query import RecipeError, pack_latent
from stylegan.tabs.sources import learned, read_typed, to_typed

A, B = (pack_latent(np.linspace(-1, end, 8)) for end in (1, 2))
LONGER = pack_latent(np.tile(np.linspace(-1, 1, 8), 3))  # begins as A does
DIGITS = "1234567890" + A[10:]  # a name of it alone would be read as a seed
KNOWN = (A, LONGER, B, DIGITS)


@given(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 20) | st.sampled_from(KNOWN)))
def test_text_and_back(sources):
    sources = [*sources, 7]
    text = to_typed(sources, KNOWN)
    assert read_typed(text, KNOWN, 1000) == tuple(sources)
    assert len(text) < 16 * len(sources)


def test_what_is_typed_stays_short():
    assert to_typed([1, 2, 3, 4, 9, 10, A, 5, LONGER], KNOWN) == (
        f"1-4,9,10,w:{A[:6]},5,w:{A[:6]}~2"
    )
    assert read_typed(f" 1-3 , w:{A[:6]} ,9", KNOWN, 32) == (1, 2, 3, A, 9)
    assert read_typed(f"1,{B}", (), 32) == (1, B), "a whole latent can be pasted"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1-", "not whole numbers"),
        ("", "not whole numbers"),
        ("1,,2", "not whole numbers"),
        ("x", "not whole numbers"),
        ("1.5", "not whole numbers"),
        ("4294967296", "not whole numbers"),
        ("5-3", "run backwards"),
        ("1-33", "more than 32"),
        ("1-30,1,2,3", "more than 32"),
        ("w:nobody", 'no latent "w:nobody" here'),
        ("w:", 'no latent "w:" here'),
        ("w:" + "x" * 10_000, 'no latent "w:xxx'),
    ],
)
def test_what_cannot_be_read_is_told(text, words):
    with pytest.raises(RecipeError, match=words) as error:
        read_typed(text, KNOWN, 32)
    assert len(str(error.value)) < 200


def test_latents_keep_their_names_while_others_come_and_go():
    known = learned((), [1, A, LONGER], 3)
    assert known == (A, LONGER)
    name = to_typed([LONGER], known)
    known = learned(known, [LONGER, B], 3)
    assert known == (A, LONGER, B) and to_typed([LONGER], known) == name
    assert read_typed(to_typed([A], known), known, 32) == (A,), "it was here a while ago"
    assert learned(known, [DIGITS, 5, LONGER], 3) == (LONGER, B, DIGITS), "the oldest unused goes"
    assert learned((A, B), [DIGITS, LONGER], 2) == (DIGITS, LONGER)
    assert learned((), [A, B, DIGITS], 2) == (A, B, DIGITS), "what is used stays"
