"""Shares: which worker has which batches, which are done, and who continues for a lost worker.

A share is what one worker iterates, afresh each epoch. One worker at a time goes through it, and
each of its batches counts once.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Part(NamedTuple):
    """What a worker goes through next: the rest of an epoch of a share.

    Attributes:
        share: the number of the share.
        epoch: which of its epochs.
        start: how many batches of it are done.
    """

    share: int
    epoch: int
    start: int

    def __str__(self) -> str:
        return f"epoch {self.epoch} of `worker_batches[{self.share}]`"


class Share:
    """One of `worker_batches`, and how much of it is done."""

    def __init__(self, number: int, epoch: int, taken: int) -> None:
        self.number = number
        self.epoch = epoch  # the current one
        self.taken = taken  # batches of it whose gradients the server has
        self.applied = epoch, taken  # how far they are in the parameters
        self.holder: int | None = None  # the worker that goes through it
        self.failed: tuple[int, int] | None = None  # the batch at which a worker was lost
        self.is_given_up = False

    def __str__(self) -> str:
        return f"batch {self.taken} of epoch {self.epoch} of `worker_batches[{self.number}]`"


class Shares:
    """The ledger of a run: all shares.

    Args:
        count: how many shares, one for each worker.
        epochs: how many each has in the whole run.
        state: the position of each, (epoch, batches done); None: the beginning.
    """

    def __init__(self, count: int, epochs: int, state: Sequence[Sequence[int]] | None) -> None:
        if state is not None and len(state) != count:
            raise ValueError(f"this state is for {len(state)} workers: pass as many, not {count}")
        self.epochs = epochs
        self._shares = [Share(number, *at) for number, at in enumerate(state or [(0, 0)] * count)]
        self._orphans: list[Share] = []  # whose worker is lost
        self._rest = sum(share.epoch < epochs for share in self._shares)

    def next_share(self, worker: int, ended: Share | None) -> Share | None:
        """Return the share whose epoch the worker is to continue, the earliest first, or None.

        Args:
            worker: its number.
            ended: the share of which it has just finished an epoch, if any.
        """
        if ended is not None:
            ended.epoch, ended.taken, ended.holder = ended.epoch + 1, 0, None
            self._rest -= ended.epoch == self.epochs
        free = [each for each in (self._shares[worker], *self._orphans) if self._is_free(each)]
        share = min(free, key=lambda share: share.epoch, default=None)
        if share is not None:
            share.holder = worker
        return share

    def _is_free(self, share: Share) -> bool:
        return share.holder is None and share.epoch < self.epochs and not share.is_given_up

    def lose(self, worker: int, held: Share | None) -> None:
        """Let others continue a worker's shares; give up one that lost two workers at one batch."""
        self._orphans.append(self._shares[worker])
        if held is not None:
            held.holder, before, held.failed = None, held.failed, (held.epoch, held.taken)
            held.is_given_up = held.failed == before
            self._rest -= held.is_given_up

    @property
    def are_done(self) -> bool:
        """Whether every batch has been taken, except those that were given up."""
        return self._rest == 0

    def state(self) -> list[list[int]]:
        """Return each share's position in the parameters: its epoch, and batches done in it."""
        return [list(share.applied) for share in self._shares]

    def unseen(self) -> str:
        """Return in words which batches no worker has gone through; "" if there are none."""
        rest = [f"from {share} on" for share in self._shares if share.epoch < self.epochs]
        return ", ".join(rest)
