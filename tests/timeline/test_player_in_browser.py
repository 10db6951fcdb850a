"""The player in a browser: each control by mouse and by key, what it tells, and what it leaves."""

import re
import statistics
from contextlib import contextmanager

import pytest

from asyncml.clock import simulate
from asyncml.timeline.recorder import record
from tests.timeline.browser import SCRIPT, browser, needs_browser
from tests.timeline.programs import HOSTILE, hostile, kitchen, one_after_the_other, queue_of

pytestmark = needs_browser
EVENTS = 23  # of `kitchen`


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Save them before there is a browser, whose driver keeps a loop of asyncio's running."""
    folder = tmp_path_factory.mktemp("pages")
    recordings = {main.__name__: simulate(record(main())) for main in (kitchen, hostile)}
    recordings["long"] = simulate(record(queue_of(520)))
    for name, timeline in recordings.items():
        timeline.save(folder / f"{name}.html")
    other = simulate(record(one_after_the_other()))
    recordings["kitchen"].play(other).save(folder / "two.html")
    both = "".join(recordings["kitchen"].play()._fragment(picture=True) for _ in range(2))
    (folder / "both.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{both}")
    return folder


@pytest.fixture(scope="module")
def chromium(pages):
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def tab(chromium):
    """A tab in which each test loads its page anew: to start one costs more than many a test."""
    with watched_tab(chromium) as page:
        page.add_init_script(SCRIPT)
        yield page


@contextmanager
def watched_tab(chromium, **options):
    context = chromium.new_context(**options)
    page = context.new_page()
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text))
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    context.close()


@pytest.fixture
def open_page(tab, pages):
    def open_it(name="kitchen", width=1000, color_scheme="light", reduced_motion="no-preference"):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme=color_scheme, reduced_motion=reduced_motion)
        tab.mouse.move(0, 0)
        tab.errors.clear()
        tab.requests.clear()
        tab.goto((pages / f"{name}.html").as_uri())
        settle(tab)  # some of the page is drawn in its first frame
        return tab

    yield open_it
    assert not tab.errors


def settle(page):
    page.evaluate("settled()")


def event(page):
    settle(page)
    return int(page.locator(".thumb").get_attribute("aria-valuenow"))


def says(page):
    settle(page)
    return page.locator(".say").inner_text()


def marked(page):
    """Return the number of the marked line of the source, and the word beside it."""
    settle(page)
    line = page.locator("pre .now")
    return int(line.locator("i").inner_text()), line.get_attribute("data-why")


def chosen(page):
    settle(page)
    return page.locator("[aria-pressed=true]").all_inner_texts()


def wait_until(page, is_so):
    for _ in range(200):
        if is_so():
            return
        page.wait_for_timeout(20)
    pytest.fail("it did not come")


def click(page, title):
    page.get_by_title(title).click()


def test_it_steps_by_mouse(open_page):
    page = open_page()
    assert event(page) == 1
    assert says(page) == "kitchen runs 0-60 ms and blocks the loop; then it waits for task boil-1."
    click(page, "Next event")
    assert says(page).endswith("eater, boil-1, boil-2 and boil-3 are ready.")
    click(page, "Next event")
    assert says(page) == (
        "eater runs at 60 ms; then it waits for Queue.get. boil-1, boil-2 and boil-3 are ready."
    )
    click(page, "Previous event")
    assert event(page) == 2
    click(page, "To the end")
    assert event(page) == EVENTS
    assert says(page) == "At 270 ms all has ended."
    click(page, "To the beginning")
    assert event(page) == 1


def test_it_steps_by_key(open_page):
    page = open_page()
    page.locator(".thumb").focus()
    for key, expected in {"ArrowRight": 2, "ArrowLeft": 1, "End": EVENTS, "Home": 1}.items():
        page.keyboard.press(key)
        assert event(page) == expected
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert chosen(page) == ["eater"]
    found = []
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
        found.append((event(page), page.locator("h4").inner_text()))
    assert found == [(2, "eater is ready"), (3, "eater runs"), (4, "eater waits for Queue.get")]
    page.keyboard.press("ArrowUp")
    assert chosen(page) == ["kitchen"]
    page.keyboard.press("Escape")
    assert chosen(page) == []


def test_the_source_follows(open_page):
    page = open_page()
    first = kitchen.__code__.co_firstlineno
    assert marked(page) == (first + 5, "works here")
    assert page.locator("pre .then").get_attribute("data-why") == "then waits here"
    page.locator(".thumb").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert marked(page)[1] == "begins here"
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="eater", exact=True).first.click()
    assert marked(page)[1] == "waits here"
    assert "await queue.get()" in page.locator("pre .now").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.locator(".names button").first.click()
    assert marked(page)[1] == "goes on here"


def test_what_is_ready_waiting_and_to_come_is_listed(open_page):
    page = open_page()
    page.locator(".thumb").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    settle(page)
    lists = re.sub(r"\s+", " ", page.locator(".lists").inner_text())
    assert "Runs (1) boil-1 at 60 ms" in lists
    assert "Ready, in this order (2) boil-2 since 0 ms boil-3 since 0 ms" in lists
    assert "Waiting (2) kitchen for task boil-1, line" in lists
    assert "Timers to come (1) kitchen 1060 ms, timeout" in lists
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "no task runs. 5 tasks wait. boil-1 runs at 110 ms." in says(page)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert "Worker threads (1) thread-1 runs compute" in re.sub(
        r"\s+", " ", page.locator(".lists").inner_text()
    )


def test_the_cursor_is_dragged(open_page):
    page = open_page()
    bars = page.locator(".bars").bounding_box()
    right, y = bars["x"] + bars["width"] - 10, bars["y"] + 30
    page.mouse.move(right - 200, y)
    page.mouse.down()
    page.mouse.move(right - 100, y)
    middle = event(page)
    page.mouse.move(right + 50, y)
    page.mouse.up()
    assert 10 < middle < event(page) == EVENTS
    top = page.locator(".top").bounding_box()
    page.mouse.click(right - 200, top["y"] + 25)
    assert 8 < event(page) < middle
    page.mouse.move(bars["x"] + 150, bars["y"] + 5)
    settle(page)
    assert page.locator(".bars").get_attribute("title") == "kitchen runs 0-60 ms"


def test_it_plays_and_pauses(open_page):
    page = open_page()
    page.get_by_title("Speed").select_option("4")
    page.get_by_title("Play").click()
    assert page.locator(".say").get_attribute("aria-live") == "off"
    wait_until(page, lambda: event(page) > 3)
    page.get_by_title("Pause").click()
    assert page.locator(".say").get_attribute("aria-live") == "polite"
    stopped = event(page)
    asked = page.evaluate("asked")
    page.wait_for_timeout(100)
    assert page.evaluate("asked") == asked
    page.locator(".thumb").focus()
    page.keyboard.press(" ")
    wait_until(page, lambda: event(page) > stopped)
    page.keyboard.press(" ")
    assert page.get_by_title("Play").is_visible()


def clock(page):
    settle(page)
    return page.locator(".clock").inner_text()


def test_motion_is_reduced_for_who_wants_that(open_page):
    page = open_page(reduced_motion="reduce")
    page.get_by_title("Play").click()
    page.wait_for_timeout(300)
    page.get_by_title("Pause").click()
    assert clock(page) in {"0 ms of 270 ms", "60 ms of 270 ms"}


def test_it_zooms_by_mouse_and_by_key(open_page):
    page = open_page()
    wide = "wide()"
    whole = page.evaluate(wide)
    click(page, "Zoom in")
    click(page, "Zoom in")
    assert page.evaluate(wide) > 3 * whole
    click(page, "Zoom out")
    assert 1.5 * whole < page.evaluate(wide) < 3 * whole
    click(page, "Show all")
    assert page.evaluate(wide) == whole
    page.locator(".thumb").focus()
    page.keyboard.press("+")
    assert page.evaluate(wide) > 1.5 * whole
    page.keyboard.press("End")
    assert page.locator(".thumb").is_visible()
    page.keyboard.press("0")
    assert page.evaluate(wide) == whole
    page.locator(".bars").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    settle(page)
    page.keyboard.up("Control")
    assert page.evaluate(wide) > whole


def test_a_task_is_found(open_page):
    page = open_page()
    page.locator(".thumb").focus()
    page.keyboard.press("/")
    page.keyboard.type("BOIL-2")
    assert page.locator(".names button").all_inner_texts() == ["boil-2"]
    page.keyboard.press("Enter")
    assert chosen(page) == ["boil-2"]
    page.keyboard.press("Escape")
    assert page.locator(".names button").count() == 6


def test_findings_are_marks_that_one_can_jump_to(open_page):
    page = open_page()
    for jump in (
        lambda: page.locator(".mark").click(),
        lambda: page.keyboard.press("f"),
        lambda: page.locator(".finds button").click(),
    ):
        page.locator(".thumb").focus()
        page.keyboard.press("End")
        jump()
        assert event(page) == 2  # the last of those at 0 s
        assert chosen(page) == ["kitchen"]
    assert "blocked: the loop was blocked for 60 ms" in page.locator(".finds").inner_text()
    assert page.locator(".finds code").first.inner_text() == "await"


def test_two_recordings_share_one_axis(open_page):
    page = open_page("two")
    assert page.locator(".names b").all_inner_texts() == ["kitchen", "one_after_the_other"]
    assert "kitchen: kitchen runs 0-60 ms" in says(page)
    assert "one_after_the_other: has not begun." in says(page)
    assert clock(page) == "0 ms of 360 ms"
    page.locator(".thumb").focus()
    page.keyboard.press("End")
    assert says(page) == (
        "kitchen: At 270 ms all has ended. one_after_the_other: At 360 ms all has ended."
    )
    assert page.locator("section").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_controls_can_be_seen(open_page, scheme):
    page = open_page(color_scheme=scheme)
    page.locator(".names button").nth(1).click()
    page.keyboard.press("End")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    settle(page)
    found = {name: contrast(ink, paper) for name, ink, paper in page.evaluate("contrasts()")}
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
    assert len(found) > 30
    edge, background = page.evaluate("edge()")
    assert contrast(edge, background) >= 3
    dark = luminance(background) < 0.2
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("background", [(255, 255, 255), (21, 25, 30), (17, 17, 17)])
def test_bars_can_be_seen_on_it(background):
    from asyncml.timeline.drawing import LOOKS

    for fill, edge, _ in LOOKS.values():
        colour = edge if fill == "white" else fill
        rgb = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
        assert contrast(rgb, background) >= 3


def luminance(rgb):
    parts = [part / 255 for part in rgb]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_all_that_can_be_focused_has_a_name(open_page):
    page = open_page()
    assert page.evaluate("nameless()") == []
    for role, name in {
        "slider": "Event",
        "toolbar": "Controls",
        "group": "Timeline of kitchen",
        "button": "Play (Space)",
    }.items():
        assert page.get_by_role(role, name=name).count() == 1
    assert page.get_by_role("status").inner_text().startswith("kitchen runs")
    assert page.locator(".thumb").get_attribute("aria-valuetext") == f"0 ms, event 1 of {EVENTS}"


def test_nothing_of_a_recording_is_taken_for_html(open_page):
    page = open_page("hostile")
    page.locator(".thumb").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
        settle(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    settle(page)
    assert page.evaluate("window.hacked") is None
    assert HOSTILE in page.locator(".names").inner_text()
    assert page.locator("img").count() == 0


def test_without_scripts_the_text_is_shown(open_page, chromium, pages):
    with watched_tab(chromium, java_script_enabled=False) as page:
        page.goto((pages / "both.html").as_uri())
        assert page.locator("img").count() == 2
        assert page.locator("img").first.is_visible()
        page.locator("summary").first.click()
        assert page.locator("pre").first.is_visible()
        assert not page.errors
    page = open_page("both")
    settle(page)
    assert page.locator("img").first.is_hidden()
    assert page.locator(".w").count() == 2


def test_it_asks_for_nothing_and_leaves_nothing(open_page):
    page = open_page("both")
    page.get_by_title("Play").first.click()
    page.get_by_title("Play").first.click()  # of the second: the first says Pause
    settle(page)
    assert len(page.requests) == 1
    assert page.evaluate("outside") == []
    page.evaluate("document.querySelectorAll('.asyncml-player').forEach((host) => host.remove())")
    page.wait_for_timeout(50)
    asked = page.evaluate("asked")
    page.wait_for_timeout(100)
    assert page.evaluate("asked") == asked


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_into_its_page(open_page, width):
    page = open_page(width=width)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_two_thousand_slices_are_fluent(open_page):
    page = open_page("long")
    bars = page.locator(".bars").bounding_box()
    settle(page)
    page.evaluate("frames_ms.length = 0")
    page.mouse.move(bars["x"] + 200, bars["y"] + 30)
    page.mouse.down()
    for x in range(200, 900, 20):
        page.mouse.move(bars["x"] + x, bars["y"] + 30)
        settle(page)
    page.mouse.up()
    took = [each for each in page.evaluate("frames_ms") if each > 0.2]
    assert len(took) >= 30
    assert statistics.median(took) < 80  # 8 on a quiet machine; a loop over all pairs takes seconds
