"""Figures for a projector can be read from the last row of a room, measured in pixels."""

import asyncio
from itertools import combinations

import matplotlib as mpl
import pytest

import asyncml as aml
from asyncml import look
from asyncml.clock import compute

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

HIGH, WIDE = 720, 1280
LEAST = HIGH / 40  # of a letter, for the last row


@pytest.fixture(params=["light", "dark"])
def theme(request):
    aml.projector(request.param)
    yield request.param
    aml.projector("off")
    plt.close("all")


async def load(key):
    await asyncio.sleep(0.008)
    return key


async def several_at_once():
    return [key async for key in aml.Pipeline(range(48)).map(load, concurrency=16)]


async def all_states():
    lock = asyncio.Lock()

    async def holds():
        async with lock:
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(holds())
        await asyncio.sleep(0.01)
        compute(0.03)
        await asyncio.to_thread(compute, 0.02)


def run(program):
    return aml.simulate(aml.record(program()))


def texts(ax):
    """Return the box in pixels of each text that is seen, by the text."""
    ax.figure.canvas.draw()
    drawn = ax.figure.canvas.get_renderer()
    legend = ax.get_legend()
    times = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    found = [label for time, label in times if time <= ax.get_xlim()[1]]
    found += [*ax.get_yticklabels(), ax.xaxis.label]
    found += legend.get_texts() if legend else []
    return {one.get_text(): one.get_window_extent(drawn) for one in found if one.get_text()}


def collisions(boxes):
    return [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]


@pytest.mark.parametrize("program", [several_at_once, all_states])
def test_a_timeline_is_large_enough_and_nothing_collides(theme, program):
    ax = run(program).plot()
    boxes = texts(ax)
    assert {box.height >= LEAST for box in boxes.values()} == {True}, boxes
    assert collisions(boxes) == []
    wide, high = ax.figure.canvas.get_width_height()
    assert wide <= WIDE
    assert high <= HIGH
    assert {box.x0 >= 0 and box.x1 <= wide and box.y1 <= high for box in boxes.values()} == {True}


def test_seventeen_lanes_become_eight_thick_ones_that_say_how_many_are_missing(theme):
    ax = run(several_at_once).plot()
    assert len(ax.get_yticks()) == 8
    assert "9 more lanes" in ax.get_xlabel()
    (low, _), (high, _) = ax.transData.transform([(0, 0.38), (0, -0.38)])[:, ::-1]
    assert high - low >= LEAST


def test_in_axes_of_a_lesson_all_lanes_are_drawn_and_as_many_named_as_have_room(theme):
    _, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    run(several_at_once).plot(ax)
    assert collisions(texts(ax)) == []
    assert ax.get_ylim()[0] > 16
    assert 5 <= len(ax.get_yticks()) < 17


async def in_rounds():
    for _ in range(2):
        await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0.09)) for _ in range(3)))
        compute(0.09)


def test_two_timelines_in_a_low_figure_can_be_read(theme):
    _, both = plt.subplots(2, figsize=(9, 4.2), sharex=True, layout="constrained")
    for ax in both:
        run(in_rounds).plot(ax).set(xlabel="")
    both[0].figure.canvas.draw()
    for ax in both:
        (low, _), (high, _) = ax.transData.transform([(0, 0.38), (0, -0.38)])[:, ::-1]
        assert high - low >= LEAST / 2
    assert both[0].figure.canvas.get_width_height()[1] <= HIGH


def luminance(colour):
    parts = mpl.colors.to_rgb(colour)
    return sum(
        weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_type_and_bars_stand_out_from_the_ground(theme):
    ground = mpl.rcParams["axes.facecolor"]
    assert contrast(mpl.rcParams["text.color"], ground) >= 7
    assert (luminance(ground) < 0.1) == (theme == "dark")
    bars = [look.BLUE, look.ORANGE, look.VERMILION, look.GREY, look.GREEN, look.PURPLE, look.BROWN]
    assert min(contrast(bar, ground) for bar in bars) >= 3


def test_off_is_as_before():
    before = dict(mpl.rcParams)
    aml.projector("dark")
    aml.projector("light")
    assert dict(mpl.rcParams) != before
    aml.projector("off")
    assert dict(mpl.rcParams) == before
    assert look.most_lanes == look.ALL_LANES


def test_another_theme_is_refused():
    with pytest.raises(ValueError, match='`theme` must be "light", "dark" or "off", got \'sepia\''):
        aml.projector("sepia")
