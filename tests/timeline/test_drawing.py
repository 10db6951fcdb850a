"""A timeline can be read: as a picture, in characters and in sentences."""

import asyncio
import warnings

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.timeline import drawing
from asyncml.timeline.recorder import record

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


def recorded(main):
    return simulate(record(main))


async def fetch(seconds):
    await asyncio.sleep(seconds)


async def three():
    tasks = [asyncio.create_task(fetch(0.02 * (i + 1))) for i in range(2)]
    await asyncio.sleep(0.01)
    compute(0.06)
    await asyncio.gather(*tasks)
    await asyncio.to_thread(compute, 0.03)


async def crowd():
    async with asyncio.TaskGroup() as group:
        for i in range(100):
            group.create_task(fetch(1 + i / 100))


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def test_in_characters():
    assert recorded(three()).text(width=60) == "\n".join(
        [
            "three    |.....#############################...............|",
            "fetch-1  |..........=========================              |",
            "fetch-2  |....................===============              |",
            "thread-1 |                                  ###############|",
            "          0                                          100 ms",
            "# running  = ready  . waiting",
        ]
    )


def test_one_wait_after_the_other_is_told_from_one_long_wait():
    async def main():
        for _ in range(4):
            await fetch(1)

    assert recorded(main()).text(40).splitlines()[0] == "main |........|.......|........|.......|"


@settings(deadline=None, max_examples=25)
@given(
    st.integers(40, 200),
    st.lists(st.text(max_size=30), min_size=1, max_size=3),
    st.floats(1e-9, 1e9),
)
def test_no_line_is_longer_than_the_width(width, names, seconds):
    async def main():
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(fetch(seconds), name=name)

    timeline = recorded(main())
    lines = timeline.text(width).split("\n")
    assert len(lines) == len(timeline.lanes) + 2
    assert max(map(len, lines)) <= width


def test_a_width_that_is_too_small_is_an_error():
    with pytest.raises(ValueError, match="`width` must be >= 40, got 39"):
        recorded(fetch(1)).text(39)


def test_a_crowd_is_cut_short():
    timeline = recorded(crowd())
    assert len(timeline.text().splitlines()) == 43
    assert "and 61 more lanes" in timeline.text()
    assert timeline.describe().endswith("and 61 more lanes")
    assert "(and 61 more lanes)" in timeline.plot().get_xlabel()


def test_in_sentences():
    assert recorded(three()).describe().splitlines() == [
        "4 lanes, 100 ms.",
        "three waits 0-10 ms for sleep",
        "three runs 10-70 ms",
        "three waits 70-100 ms for thread compute",
        "fetch-1 waits 0-20 ms for sleep",
        "fetch-1 is ready 20-70 ms",
        "fetch-2 waits 0-40 ms for sleep",
        "fetch-2 is ready 40-70 ms",
        "thread-1 runs 70-100 ms compute",
    ]


def test_many_sentences_are_summed_up():
    async def main():
        for _ in range(9):
            await asyncio.sleep(1)
        compute(1)

    assert recorded(main()).describe().splitlines() == [
        "1 lane, 10 s.",
        "main waits 9 times for sleep, 9 s in all",
        "main runs once, 1 s in all",
    ]


def test_as_a_picture():
    ax = recorded(three()).plot()
    assert ax.get_xlabel() == "time (ms)"
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "three",
        "fetch-1",
        "fetch-2",
        "thread-1",
    ]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == [
        "running",
        "ready",
        "waiting: timer",
        "waiting: thread",
        "loop blocked",
    ]
    assert ax.get_xlim() == (0, 100)
    ax.figure.canvas.draw()


def test_the_picture_is_drawn_on_given_axes():
    _, axes = plt.subplots(2)
    assert recorded(fetch(1)).plot(axes[1]) is axes[1]
    assert recorded(fetch(1)).plot(ax=axes[0]) is axes[0]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["waiting: timer"]


def luminance(colour):
    parts = [part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("look", drawing.LOOKS)
@pytest.mark.parametrize("background", ["#ffffff", "#111111"])
def test_each_state_stands_out_from_a_light_and_from_a_dark_page(look, background):
    fill, edge, _ = drawing.LOOKS[look]
    colour = edge if fill == "white" else fill  # a hollow bar is seen by its borders
    darker, lighter = sorted(
        luminance(mpl.colors.to_rgb(name)) + 0.05 for name in (colour, background)
    )
    assert lighter / darker >= 3


def test_looks_are_told_apart_without_colour():
    signs = {(hatch, fill == "white") for fill, _, hatch in drawing.LOOKS.values()}
    assert len(signs) >= len(drawing.LOOKS) - 1  # running and the network are both plain


def test_the_legend_fits_beside_the_longest_names():
    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(three(), name="a name that is as long as a lane's may be")

    figure = recorded(main()).plot().figure
    figure.canvas.draw()
    ax = figure.axes[0]
    assert ax.get_legend().get_window_extent().x1 <= figure.bbox.x1
    assert ax.get_window_extent().width > 0.4 * figure.bbox.width


def test_hatches_tell_the_states_apart_where_colours_do_not():
    hatches = {bars.get_hatch() for bars in recorded(three()).plot().collections}
    assert {"////", "xx"} <= hatches


@pytest.mark.parametrize("name", ["$x$", "$", "a_b^{", "_hidden", "x" * 300, " ", "a\nb", "日本"])
def test_any_name_can_be_drawn(name):
    async def main():
        await asyncio.create_task(fetch(1), name=name)

    timeline = recorded(main())
    ax = timeline.plot()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        ax.figure.canvas.draw()
    assert timeline.describe()


def test_what_takes_no_time_can_be_drawn():
    async def main(): ...

    ax = recorded(main()).plot()
    ax.figure.canvas.draw()
    assert ax.get_xlim() == (0, 1)


def test_legend_and_labels_do_not_overlap():
    ax = recorded(three()).plot()
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.1 + 0.2, "300 ms"),
        (0.29000000000000004, "290 ms"),
        (86_400, "86400 s"),
        (123_456.789, "123457 s"),
        (9999.99, "10000 s"),
    ],
)
def test_times_are_rounded_and_written_in_full(seconds, shown):
    timeline = recorded(fetch(seconds))
    number = shown.split()[0]
    assert (
        timeline.describe()
        == f"1 lane, {shown}.\nfetch waits 0-{number} {shown[-2:].strip()} for sleep"
    )
    assert timeline.text().splitlines()[1].endswith(f" {shown}")
    for text in (str(timeline.statistics()), repr(timeline)):
        assert "e+" not in text
        assert "00000" not in text


def test_many_long_waits_are_summed_up_in_full():
    async def main():
        for _ in range(20):
            await fetch(1000.1)

    assert recorded(main()).describe().endswith("main waits 20 times for sleep, 20002 s in all")
