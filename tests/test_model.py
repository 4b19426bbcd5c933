import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import stylegan
from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig, UserError
from stylegan.direction_files import DirectionNote, save_directions
from stylegan.latents import MAX_SEED, slerp
from stylegan.mix import Mix
from stylegan.model import Model, find_device, load
from stylegan.networks.generator import Generator
from stylegan.recipe import Edit, Recipe, RecipeError, RowMix, pack_latent
from stylegan.stamp import grid
from stylegan.walk import Walk

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture(scope="module")
def model():
    return load(TINY)


def small(tmp_path, **settings):
    """A fresh model folder of this shape."""
    sizes = {"resolution": 8, "z_dim": 8, "w_dim": 8, "mapping_layers": 1}
    config = NetworkConfig(**{**sizes, "channel_base": 64, "channel_max": 8, **settings})
    save_model(tmp_path / "small", config, {"kimg": 5}, Generator(config))
    return tmp_path / "small"


def test_what_a_model_tells(model):
    assert model.name == "tiny-16" and len(model.revision) == 10
    assert model.id == f"tiny-16@{model.revision}"
    assert (model.c_dim, model.num_ws, model.config.resolution) == (3, 6, 16)
    assert model.device == torch.device("cpu")
    assert model.training["note"].startswith("random weights")
    assert set(model.directions) == {"warmth", "shape"}
    assert model.stamped(Recipe(seed=3)) == Recipe(seed=3, m=model.id)


def test_order_is_map_truncate_mix_edit_draw(model):
    """The whole chain once more, written out by hand."""
    recipe = Recipe(
        seed=5,
        psi=0.6,
        cut=4,
        c=2,
        noise=8,
        mix=[RowMix(9, 0, 1), RowMix(pack_latent(np.arange(16) / 8), 3, 3)],
        e=[Edit("warmth", 1.5, (1, 4)), Edit("shape", -2)],
    )
    g, steps = model.generator, model.directions

    def ws_of(seed):
        z = np.random.RandomState(seed).randn(1, 16).astype(np.float32)
        ws = g.mapping(torch.from_numpy(z), torch.tensor([[0.0, 0, 1]]))[:, None].repeat(1, 6, 1)
        ws[:, :4] = g.mapping.w_avg + 0.6 * (ws[:, :4] - g.mapping.w_avg)
        return ws

    ws = ws_of(5)
    ws[:, 0:2] = ws_of(9)[:, 0:2]
    ws[:, 3] = torch.arange(16) / 8
    ws[:, 1:5] += 1.5 * steps["warmth"]
    ws += -2 * steps["shape"]
    sides = [4, 8, 8, 16, 16]
    maps = [np.random.RandomState([8, i]).randn(r, r) for i, r in enumerate(sides)]
    x = g.synthesis(ws, [torch.from_numpy(m).float()[None, None] for m in maps])
    expected = np.floor(np.clip(x[0].numpy().transpose(1, 2, 0) * 127.5 + 128, 0, 255))
    picture = model.render(recipe)
    assert picture.dtype == np.uint8 and picture.shape == (16, 16, 3)
    assert np.abs(picture - expected).max() <= 1
    assert torch.allclose(model.ws(recipe), ws, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"psi": 0.5},
        {"psi": 0.5, "cut": 2},
        {"c": 1},
        {"noise": "none"},
        {"noise": 0},
        {"noise": 1},
        {"mix": [RowMix(6, 2, 3)]},
        {"e": [Edit("shape", 1)]},
    ],
)
def test_every_value_of_a_recipe_shows(model, change):
    base = {"seed": 5} | ({"psi": 0.5} if "cut" in change else {})
    plain, changed = (model.render(Recipe(**fields)) for fields in (base, base | change))
    assert np.abs(plain.astype(int) - changed).mean() > 0.5


def test_alone_it_is_the_same_bits_and_in_a_batch_within_one_level(model):
    recipes = [Recipe(seed=seed, psi=0.8, c=seed % 3) for seed in range(40)]
    batched = list(model.draw(recipes))
    for recipe, picture in zip(recipes, batched, strict=True):
        alone = model.render(recipe)
        assert np.array_equal(alone, model.render(recipe))
        assert np.abs(alone.astype(int) - picture).max() <= 1
    again = load(TINY)
    assert np.array_equal(again.render(recipes[3]), model.render(recipes[3]))


def test_many_kinds_of_recipes_in_one_drawing(model):
    recipes = [
        Recipe(seed=1, noise="none"),
        Recipe(seed=2, noise=3, psi=0.2),
        Recipe(w=pack_latent(np.ones(16)), noise=3),
        Recipe(seed=1, c=1),
        Recipe(seed=1, noise="none"),
    ]
    pictures = list(model.draw(recipes))
    assert len(pictures) == 5 and np.abs(pictures[0].astype(int) - pictures[4]).max() <= 1
    for recipe, picture in zip(recipes, pictures, strict=True):
        assert np.abs(model.render(recipe).astype(int) - picture).max() <= 1


def test_render_many_counts_seeds_up(model):
    pictures = model.render_many(Recipe(seed=MAX_SEED - 2, n=3))
    assert len(pictures) == 3
    assert np.abs(pictures[2].astype(int) - model.render(Recipe(seed=MAX_SEED))).max() <= 1
    with pytest.raises(RecipeError, match="render draws one picture, render_many draws n"):
        model.render(Recipe(n=2))


def test_a_latent_is_drawn_as_it_is_in_half_precision(model):
    w = model.generator.mapping(torch.randn(1, 16), torch.eye(3)[:1])[0]
    text = pack_latent(w.numpy())
    row = torch.from_numpy(w.numpy().astype(np.float16).astype(np.float32))
    assert torch.equal(model.ws(Recipe(w=text)), row.expand(1, 6, 16))
    assert torch.equal(model.ws(Recipe(w=text, psi=0, c=1)), row.expand(1, 6, 16))
    plus = torch.randn(6, 16).half().float()
    assert torch.equal(model.ws(Recipe(w=pack_latent(plus.numpy())))[0], plus)
    drawn = [model.render(Recipe(w=t)) for t in (text, pack_latent(row.expand(6, 16).numpy()))]
    assert np.array_equal(*drawn)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"c": 3}, "c 3: tiny-16 has classes 0 to 2"),
        ({"e": [Edit("smile", 1)]}, "no direction smile (directions: shape, warmth)"),
        ({"e": [Edit("shape", 1, (5, 6))]}, "rows 5-6: tiny-16 has rows 0 to 5"),
        ({"mix": [RowMix(1, 6, 6)]}, "rows 6-6: tiny-16 has rows 0 to 5"),
        ({"w": pack_latent(np.zeros(17))}, "w holds 17 numbers; tiny-16 takes 16, or 6 x 16"),
        ({"mix": [RowMix(pack_latent(np.zeros(32)), 0, 1)]}, "w holds 32 numbers"),
    ],
)
def test_what_the_model_has_not_is_said_before_anything_is_drawn(model, fields, words):
    recipe = Recipe(**fields)
    for call in (model.check, model.ws, model.render, lambda r: model.draw([Recipe(), r])):
        with pytest.raises(RecipeError) as error:
            call(recipe)
        assert words in str(error.value)


def test_cut_beyond_the_last_row_is_all(model):
    deep, every = Recipe(seed=3, psi=0.5, cut=18), Recipe(seed=3, psi=0.5)
    assert np.array_equal(model.render(deep), model.render(every))
    none, full = Recipe(seed=3, psi=0.5, cut=0), Recipe(seed=3)
    assert np.array_equal(model.render(none), model.render(full))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_other_shapes(tmp_path, channels, architecture):
    model = load(str(small(tmp_path, channels=channels, architecture=architecture)))
    assert model.render(Recipe(seed=1)).shape == (8, 8, channels)
    assert model.training == {"kimg": 5} and model.directions == {}
    with pytest.raises(RecipeError, match="c 1: small has no classes"):
        model.render(Recipe(c=1))


def test_a_large_picture_is_drawn_alone(tmp_path):
    assert load(small(tmp_path, resolution=512, channel_base=512, channel_max=4)).batch == 4
    assert load(TINY).batch == 16


def test_threads_draw_in_turn(model):
    recipes = [Recipe(seed=seed, noise=seed) for seed in range(8)]
    expected = [model.render(recipe) for recipe in recipes]
    drawn = [None] * 8

    def work(i):
        for _ in range(3):
            drawn[i] = model.render(recipes[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(drawn, expected, strict=True))


def test_drawing_touches_no_random_state(model):
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    load(TINY).render(Recipe(seed=4, noise=2))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("step", [torch.zeros(7), torch.full((8,), torch.inf), torch.zeros(3, 8)])
def test_bad_directions_are_refused(tmp_path, step):
    folder = small(tmp_path)
    save_file({"smile": step}, folder / "directions.safetensors")
    with pytest.raises(UserError, match="smile is not 8, or 4 x 8, finite numbers"):
        load(folder)


def test_directions_come_with_their_notes(tmp_path, model):
    assert model.direction_notes == {"shape": DirectionNote(), "warmth": DirectionNote()}
    folder = small(tmp_path)
    note = DirectionNote("a smile", "labels", 0.9, (1, 2))
    steps = {"smile": torch.ones(8), "age": torch.ones(4, 8)}
    save_directions(folder / "directions.safetensors", steps, {"smile": note})
    found = load(folder)
    assert list(found.directions) == ["smile", "age"]
    assert found.direction_notes == {"smile": note, "age": DirectionNote()}


def test_what_is_no_folder_is_refused(tmp_path, hub):
    for path, words in (
        ("user/absent@main", "there is no user/absent@main on"),
        ("user/absent", "; nor is there such a folder here"),
        ("./absent", "there is no model folder absent"),
        (tmp_path, "it has no config.json"),
        ("network.pkl", "python -m train import"),
        (TINY / "generator.safetensors", "give the model folder"),
    ):
        with pytest.raises(UserError) as error:
            load(path)
        assert words in str(error.value)


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UserError, match="there is no device toaster: give cpu"):
        find_device("toaster")
    with pytest.raises(UserError, match="device cuda:99 cannot be used here"):
        load(TINY, "cuda:99")


def test_public_names():
    assert stylegan.load is load and stylegan.Recipe is Recipe
    assert set(stylegan.__all__) <= set(dir(stylegan))
    assert all(getattr(stylegan, name) for name in stylegan.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = stylegan.lode


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import stylegan", {"torch", "numpy", "PIL"}),
        (
            "import stylegan\nstylegan.load(sys.argv[1]).render(stylegan.Recipe(seed=1))",
            {"sympy", "torch._dynamo", "torch._inductor", "gradio", "stylegan.training"},
        ),
    ],
)
def test_what_the_first_picture_never_loads(code, absent):
    """Each of these would cost seconds before the first picture, or ties what must stay apart."""
    code = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, TINY], capture_output=True, text=True, cwd=TINY.parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert absent.isdisjoint(done.stdout.split())


# Walks

LATENT = pack_latent(np.linspace(-1, 1, 16))
PLUS = pack_latent(np.linspace(-2, 1, 96))


def close(one, other):
    return np.abs(one.astype(int) - other).max() <= 1


WALKS = [
    Walk((1, 2, LATENT, 3), frames=5, psi=0.7, c=1),
    Walk((1, PLUS, 3, 1), frames=5, noise=4, cut=3, psi=0.5, ease="both"),
    Walk((4, 5), frames=5, space="z", loop=True, noise="none", psi=0.8),
    Walk((1, 2), frames=19, curve="slerp"),
    Walk((4, 5, 6), frames=5, space="z", curve="slerp", c=2),
    Walk((1, 2, 3, 4, LATENT, 6), frames=7, curve="linear", grid=(3, 1)),
]


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.to_query()[:60])
def test_frames_alone_in_the_clip_and_as_links_are_the_same(model, walk):
    columns, rows = walk.grid
    frames = list(model.walk(walk))
    assert len(frames) == walk.total
    for i, frame in enumerate(frames):
        assert frame.dtype == np.uint8 and frame.shape == (16 * rows, 16 * columns, 3)
        assert close(model.frame(walk, i), frame)
        recipes = [model.frame_recipe(walk, i, place) for place in range(walk.places)]
        links = [Recipe.from_query(recipe.to_query(), strict=True) for recipe in recipes]
        assert close(grid([model.render(link) for link in links], columns), frame)


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.to_query()[:60])
def test_keyframes_are_the_pictures_of_their_seeds(model, walk):
    for place, track in enumerate(walk.tracks):
        for i, keyframe in enumerate(track):
            assert model.frame_recipe(walk, i * walk.frames, place) == walk.still(keyframe)
    first = [model.render(walk.still(track[0])) for track in walk.tracks]
    assert close(grid(first, walk.grid[0]), next(model.walk(walk)))


def test_a_walk_moves_gently_and_closes(model):
    walk = Walk((1, 2, 3, 1), frames=30, psi=0.7)
    frames = np.stack(list(model.walk(walk))).astype(int)
    steps = np.abs(np.diff(frames, axis=0, append=frames[:1])).mean(axis=(1, 2, 3))
    across = np.abs(frames[0] - frames[45]).mean()
    assert steps.min() > 0 and steps.max() < across / 3


def test_what_is_walked_in_w_and_z(model):
    mapping, label = model.generator.mapping, torch.eye(3)[:1]
    zs = [torch.from_numpy(np.random.RandomState(s).randn(1, 16)).float() for s in (4, 5)]
    a, b = (mapping(z, label) for z in zs)
    mean = mapping.w_avg
    pulled = [mean + 0.5 * (w - mean) for w in (a, b)]
    expected = {
        "linear w": 0.75 * pulled[0] + 0.25 * pulled[1],
        "slerp w": mean + slerp(pulled[0] - mean, pulled[1] - mean, 0.25),
        "linear z": mean + 0.5 * (mapping(0.75 * zs[0] + 0.25 * zs[1], label) - mean),
        "slerp z": mean + 0.5 * (mapping(slerp(*zs, 0.25), label) - mean),
    }
    for name, w in expected.items():
        curve, space = name.split()
        walk = Walk((4, 5), frames=4, curve=curve, space=space, psi=0.5)
        found = model.ws(model.frame_recipe(walk, 1))
        assert torch.allclose(found, w.expand(1, 6, 16), atol=2e-3), name


def test_pictures_of_a_long_walk_are_drawn_as_they_are_taken(model, monkeypatch):
    drawn = []
    batch = Model._batch

    def spy(model, recipes, noise, x):
        drawn.append(len(recipes))
        return batch(model, recipes, noise, x)

    monkeypatch.setattr(Model, "_batch", spy)
    frames = model.walk(Walk(range(20), frames=3600))
    assert drawn == []
    for _ in range(20):
        next(frames)
    assert drawn == [16, 16]
    frames.close()
    assert len(list(model.walk(Walk((1, 2)), [0, 30, 60]))) == 3
    drawn.clear()
    walk = Walk(range(8), frames=2, grid=(2, 2))
    assert len(list(model.walk(walk, batch=3))) == walk.total == 3
    assert drawn == [3, 3, 3, 3], "others wait for no more than three"


def test_a_walk_asked_for_frame_by_frame_finds_its_keyframes_once(model, monkeypatch):
    asked = []
    source = Model._source

    def spy(model, keyframe, recipe):
        asked.append(keyframe)
        return source(model, keyframe, recipe)

    monkeypatch.setattr(Model, "_source", spy)
    walk = Walk((81, 82, 83), psi=0.3)
    for index in (7, 8, 9):
        model.frame_recipe(walk, index)
    assert asked == [81, 82, 83]


def test_walks_that_a_model_cannot_draw(model, tmp_path):
    with pytest.raises(RecipeError, match="w holds 8 numbers; tiny-16 takes 16"):
        model.walk(Walk((1, pack_latent(np.ones(8)))))
    with pytest.raises(RecipeError, match="c 3: tiny-16 has classes 0 to 2"):
        model.walk(Walk(c=3))
    with pytest.raises(RecipeError, match='frame "121" is not a whole number from 0 to 120'):
        model.frame(Walk((1, 2, 3)), 121)


def test_a_walk_of_a_model_without_classes_in_grey(tmp_path):
    grey = load(small(tmp_path, channels=1))
    assert [f.shape for f in grey.walk(Walk((1, 2), frames=2))] == [(8, 8, 1)] * 3


# Tables


def test_cells_of_a_table_alone_and_together(model):
    mix = Mix((1, PLUS), (4, LATENT, 6), (0, 1, 4), psi=0.5, c=2, noise=3)
    table = dict(model.table(mix))
    assert list(table) == list(mix.recipes()) and len(table) == 11
    for place, recipe in mix.recipes().items():
        link = Recipe.from_query(recipe.to_query(), strict=True)
        assert close(model.render(link), table[place])
    ws, row, col = (model.ws(mix.recipes()[place]) for place in ((0, 2), (0, None), (None, 2)))
    taken = torch.tensor([True, True, False, False, True, False])[None, :, None]
    assert torch.allclose(ws, torch.where(taken, col, row))
    with pytest.raises(RecipeError, match="rows 0-6: tiny-16 has rows 0 to 5"):
        model.table(Mix(layers=range(7)))
