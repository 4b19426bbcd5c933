import pytest

from stylegan.config import UserError
from stylegan.metric_names import KNOWN, parse, parse_all


@pytest.mark.parametrize(
    ("name", "family", "asked"),
    [
        ("fid50k_full", "fid", {"n": 50_000, "disc": False}),
        ("fid5k_full", "fid", {"n": 5000}),
        ("fid500_disc", "fid", {"n": 500, "disc": True}),
        ("kid10k_disc", "kid", {"n": 10_000, "disc": True}),
        ("pr50k3_full", "pr", {"n": 50_000, "k": 3}),
        ("pr100k5_disc", "pr", {"n": 100_000, "k": 5, "disc": True}),
        ("is50k", "is", {"n": 50_000}),
        ("ppl2_wend", "ppl", {"space": "w", "full": False, "disc": False}),
        ("ppl_wfull", "ppl", {"space": "w", "full": True}),
        ("ppl_zend", "ppl", {"space": "z", "full": False}),
        ("ppl_zfull_disc", "ppl", {"space": "z", "full": True, "disc": True}),
        ("swd", "swd", {"n": None}),
        ("memorisation", "memorisation", {}),
        ("diversity", "diversity", {}),
    ],
)
def test_names_by_pattern(name, family, asked):
    metric = parse(name)
    assert (metric.name, metric.family) == (name, family)
    assert {key: getattr(metric, key) for key in asked} == asked
    assert metric.needs_file == (family in ("fid", "kid", "pr", "is", "ppl") and not metric.disc)


@pytest.mark.parametrize(
    "name", ["fid", "fid50k", "FID50k_full", "fidk_full", "pr50k_full", "ppl_wend", "ppl2_zend", ""]
)
def test_what_is_no_name_is_named_with_what_there_is(name):
    with pytest.raises(UserError) as raised:
        parse(name)
    assert str(raised.value) == f"there is no metric {name!r}; there are: {KNOWN}"


def test_examples_are_names():
    for name in KNOWN.replace("; also", ",").replace(" and the like", "").split(", "):
        assert parse(name.strip()).name == name.strip()


@pytest.mark.parametrize("name", ["fid1_full", "kid0k_full", "is99999999k"])
def test_numbers_have_limits(name):
    with pytest.raises(UserError, match="from 2 to 10000000 can be measured"):
        parse(name)


def test_each_is_measured_once():
    assert [x.name for x in parse_all(["swd", "is50k", "swd"])] == ["swd", "is50k"]
