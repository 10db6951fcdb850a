"""How tests take items out of a pipeline, and note where it stands after each."""

import json


def through_json(state):
    """A state as it comes back from a file."""
    copied = json.loads(json.dumps(state))
    assert copied == state
    return copied


async def first(pipeline, count):
    """The first `count` items, and the state before them and after each.

    A snapshot taken at the same moments tells the same when the epoch is over.
    """
    snapshots = [pipeline._snapshot()]
    iterator, items, states = aiter(pipeline), [], [pipeline.state_dict()]
    while len(items) < count:
        try:
            items.append(await anext(iterator))
        except StopAsyncIteration:
            break
        snapshots.append(pipeline._snapshot())
        states.append(through_json(pipeline.state_dict()))
    await iterator.aclose()
    assert [snapshot() for snapshot in snapshots] == states
    return items, states
