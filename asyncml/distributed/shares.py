"""Shares: which batches are whose, which are done, and who goes on with those of a lost worker.

A share is what one worker iterates, afresh each epoch. One worker at a time goes through it, and
each of its batches counts once.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Part(NamedTuple):
    """What a worker goes through next: the rest of an epoch of a share.

    Attributes:
        share: whose batches they were to be.
        epoch: which of its epochs.
        start: how many batches of it are done.
    """

    share: int
    epoch: int
    start: int

    def __str__(self) -> str:
        return f"epoch {self.epoch} of `worker_batches[{self.share}]`"


class Share:
    """What one of `worker_batches` has to give, and how much of it is done."""

    def __init__(self, number: int, epoch: int, taken: int) -> None:
        self.number = number
        self.epoch = epoch  # which is gone through
        self.taken = taken  # batches of it whose gradients the server has
        self.applied = epoch, taken  # up to where they are in the parameters
        self.holder: int | None = None  # who goes through it
        self.failed: tuple[int, int] | None = None  # at which batch a worker was lost
        self.is_given_up = False

    def __str__(self) -> str:
        return f"batch {self.taken} of epoch {self.epoch} of `worker_batches[{self.number}]`"


class Shares:
    """The ledger of a run.

    Args:
        count: how many shares, one for each worker.
        epochs: how many each has in the whole run.
        state: where each stands, (epoch, batches done); None: at the beginning.
    """

    def __init__(self, count: int, epochs: int, state: Sequence[Sequence[int]] | None) -> None:
        if state is not None and len(state) != count:
            raise ValueError(f"this state is of {len(state)} workers: pass as many, not {count}")
        self.epochs = epochs
        self._shares = [Share(number, *at) for number, at in enumerate(state or [(0, 0)] * count)]
        self._orphans: list[Share] = []  # whose worker is lost
        self._rest = sum(share.epoch < epochs for share in self._shares)

    def next_share(self, worker: int, ended: Share | None) -> Share | None:
        """Return a share of which the worker is to do the rest of an epoch: the earliest, or none.

        Args:
            worker: its number.
            ended: an epoch of this it has just come to the end of.
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
        """Let others go on with what a worker had; not with a batch that has cost two of them."""
        self._orphans.append(self._shares[worker])
        if held is not None:
            held.holder, before, held.failed = None, held.failed, (held.epoch, held.taken)
            held.is_given_up = held.failed == before
            self._rest -= held.is_given_up

    @property
    def are_done(self) -> bool:
        """Whether every batch has been taken, apart from those that were given up."""
        return self._rest == 0

    def state(self) -> list[list[int]]:
        """Return where each share stands in the parameters: its epoch, and batches done in it."""
        return [list(share.applied) for share in self._shares]

    def unseen(self) -> str:
        """Say which batches nobody has seen, if there are any."""
        rest = [f"from {share} on" for share in self._shares if share.epoch < self.epochs]
        return ", ".join(rest)
