"""The exercises of lesson 07: the parts of a loader, a bound, and the league."""

import random
from typing import Any

from asyncml.course.exercises import Wrong, exercise, expect
from asyncml.course.exercises.answers import read_list
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.bucket import BURST, RATE, SEED
from asyncml.course.exercises.league import score
from asyncml.course.exercises.loaders import AT_ONCE, judge_buffer, judge_workers
from asyncml.course.exercises.retries import judge_retries
from asyncml.course.exercises.scenes import demand, quietly
from asyncml.course.exercises.stages import judge_prefetch, judge_stages
from asyncml.course.exercises.windows import judge_four, judge_window

SLOW = 2.0  # above this score, the number in flight is wrong
GOOD = 1.12  # a plain Pipeline reaches 1.15


# ---- 07-four ----
@exercise("07-four")
@quietly
def four(answer: Any) -> str:
    """Check a function that fetches all keys with exactly four of them in flight."""
    seconds = ", ".join(judge_four(answer))
    return f"four in flight until the last has begun: {seconds} s for three stores."


# ---- 07-workers ----
@exercise("07-workers")
@quietly
def workers(answer: Any) -> str:
    """Check four workers that share the keys and wait when the queue is full."""
    seconds, ahead = judge_workers(answer)
    return (
        f"four tasks, four in flight, {seconds:.2f} s; "
        f"and with a slow consumer never more than {ahead} ahead."
    )


# ---- 07-window ----
@exercise("07-window")
@quietly
def window(answer: Any) -> str:
    """Check an async generator: in order, four in flight, and no more than twelve ahead."""
    ahead = judge_window(answer)
    return f"in order, {AT_ONCE} in flight, {ahead} ahead: a straggler does not hold up the others."


# ---- 07-stages ----
@exercise("07-stages")
@quietly
def stages(answer: Any) -> str:
    """Check a pipeline that fetches on the loop and decodes in threads."""
    seconds, on_loop = judge_stages(answer)
    return (
        "four fetched and two decoded at a time, and the loop is never blocked: "
        f"{1000 * seconds:.0f} ms, and {1000 * on_loop:.0f} with the decoding on the loop."
    )


# ---- 07-prefetch ----
@exercise("07-prefetch")
@quietly
def prefetch(answer: Any) -> str:
    """Check an async generator that loads ahead of its consumer, within bounds, and cleans up."""
    seconds, ahead = judge_prefetch(answer)
    return (
        f"eight images in {1000 * seconds:.0f} ms in place of 720, at most {ahead} made ahead, "
        "and nothing runs after the consumer has left."
    )


# ---- 07-bound ----
_SUM = "sum", "The three go on at the same time, so they do not add up."
_BOUNDS: list[tuple[float, dict[Any, tuple[str, str]], str]] = [
    (
        5.0,
        {
            12.0: _SUM,
            80.0: ("k", "Sixteen requests wait at once."),
            8.0: ("cores", "The decoding has two cores."),
        },
        "N * latency / k, N * decode / cores, N * train: the largest.",
    ),
    (
        4.0,
        {
            2.5: ("moved", "That is the store alone. Another stage is slower now."),
            5.0: ("k", "Twice as many requests at once halve the first of the three terms."),
            9.5: _SUM,
        },
        "Only the first of the three terms has changed.",
    ),
    (
        20,
        {
            16: ("too-few", "With 16 the store needs 5 s, as you found."),
            32: ("more", "That is enough, but so are fewer: when is N * latency / k equal to 4 s?"),
        },
        "By Little's law: in flight = images a second * latency. How many a second are decoded?",
    ),
]


@exercise("07-bound")
def bound(answer: Any) -> str:
    """Check three bets on how fast a pipeline can be, and what that requires."""
    bets = read_list(answer, "three numbers", "a number")
    is_three = len(bets) == len(_BOUNDS)
    demand(is_three, "kind", f"the answer is a list of three numbers, got {answer!r:.40}.")
    for number, (bet, (right, wrong, hint)) in enumerate(zip(bets, _BOUNDS, strict=True), start=1):
        try:
            expect(bet, right, wrong, hint)
        except Wrong as error:
            message = f"number {number}: {error.message}"
            raise Wrong(error.code, message, error.hint, error.more) from None
    return "5 s by the store, 4 s by the decoding, and 250 a second * 80 ms = 20 in flight."


# ---- 07-retry ----
@exercise("07-retry")
@quietly
def retry(answer: Any) -> str:
    """Check a fetch with retries: which errors, how often, the pauses, and the slot."""
    check_kind(answer, True)
    state = random.getstate()
    random.seed(7)
    try:
        judge_retries(answer)
    finally:
        random.setstate(state)
    return "four tries, growing random pauses, the slot free meanwhile, other errors at once."


# ---- 07-bucket ----
@exercise("07-bucket")
def bucket(answer: Any) -> str:
    """Check a loader on the bucket from hell; its score is its time over the lower bound."""
    done = score(answer)
    score(answer, seed=SEED + 1, images=120)  # another bucket, which the learner has not seen
    shown = f"score {done.score:.2f}: {done.seconds:.2f} s, and {done.bound_s:.2f} s is the bound"
    shown += f"; refused {done.refused} times"
    why = "Every good image, in order, but slowly. How many requests are in flight, on average?"
    more = f"Little's law: {RATE} a second times a mean of 64 ms are 13, all the time."
    demand(done.score <= SLOW, "slow", f"{shown}.", why, more)
    why = "It works, but each refusal costs a pause. When may a request leave and not be refused?"
    more = f"{BURST} at once, then one every {1000 / RATE:g} ms: remember when the next may leave, "
    more += "or let `aml.RateLimited` do so."
    demand(done.refused <= BURST, "refused-often", f"{shown}, and {BURST} are allowed.", why, more)
    why = "Nearly. Which slots do stragglers hold while the bucket could take a request?"
    more = "If only the rate holds requests back, more than 13 may be in flight. And do not "
    more += "wait for a straggler: ask a second time."
    demand(round(done.score, 2) <= GOOD, "idle", f"{shown}. The mark is {GOOD:.2f}.", why, more)
    return f"{shown}."


# ---- 07-buffer ----
@exercise("07-buffer")
@quietly
def buffer(answer: Any) -> str:
    """Check workers that share a buffer and lose nothing."""
    return f"{judge_buffer(answer)} of 48 are saved, with four workers."
