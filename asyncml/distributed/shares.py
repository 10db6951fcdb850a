"""Shares: which batches are whose, which are done, and who goes on with those of a lost worker.

A share is what one worker iterates, afresh each epoch. One worker at a time goes through it, and
each of its batches counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass
class _Share:
    epoch: int = 0
    taken: int = 0  # batches of that epoch whose gradients the server has
    applied: list[int] = field(default_factory=lambda: [0, 0])  # epoch, batches in the parameters
    holder: int | None = None  # who goes through it
    failed: tuple[int, int] | None = None  # at which batch a worker was lost
    is_given_up: bool = False


class Shares:
    """The ledger of a run.

    Args:
        count: how many shares, one for each worker.
        epochs: how many each has in the whole run.
        state: where each stands, (epoch, batches done); None: at the beginning.
    """

    def __init__(self, count: int, epochs: int, state: Sequence[Sequence[int]] | None) -> None:
        self.epochs = epochs
        self._shares = [_Share() for _ in range(count)]
        if state is not None and len(state) != count:
            raise ValueError(f"this state is of {len(state)} workers: pass as many, not {count}")
        for share, (epoch, done) in zip(self._shares, state or (), strict=False):
            share.epoch, share.taken, share.applied = epoch, done, [epoch, done]
        self._orphans: list[int] = []  # whose worker is lost
        self._rest = sum(share.epoch < epochs for share in self._shares)

    def next_part(self, worker: int, held: Part | None) -> Part | None:
        """Return what a worker is to go through now, if anything is there: the earliest epoch.

        Args:
            worker: its number.
            held: what it has just come to the end of.
        """
        if held is not None:
            share = self._shares[held.share]
            share.epoch, share.taken, share.holder = held.epoch + 1, 0, None
            self._rest -= share.epoch == self.epochs
        free = [at for at in (worker, *self._orphans) if self._is_free(at)]
        at = min(free, key=lambda at: self._shares[at].epoch, default=None)
        if at is None:
            return None
        self._shares[at].holder = worker
        return Part(at, self._shares[at].epoch, self._shares[at].taken)

    def _is_free(self, at: int) -> bool:
        share = self._shares[at]
        return share.holder is None and share.epoch < self.epochs and not share.is_given_up

    def take(self, held: Part, batches: int) -> Part:
        """Note that the server has the gradient of the next batches; return what they are."""
        share = self._shares[held.share]
        share.taken += batches
        return Part(held.share, held.epoch, share.taken)

    def apply(self, upto: Part) -> None:
        """Note that the batches before `upto.start` are in the parameters."""
        self._shares[upto.share].applied = [upto.epoch, upto.start]

    def lose(self, worker: int) -> None:
        """Let others go on with what a worker had; not with a batch that has cost two of them."""
        self._orphans.append(worker)
        for share in self._shares:
            if share.holder == worker:
                share.holder, before, share.failed = None, share.failed, (share.epoch, share.taken)
                share.is_given_up = share.failed == before
                self._rest -= share.is_given_up

    @property
    def are_done(self) -> bool:
        """Whether every batch has been taken, apart from those that were given up."""
        return self._rest == 0

    def state(self) -> list[list[int]]:
        """Return where each share stands in the parameters: its epoch, and batches done in it."""
        return [list(share.applied) for share in self._shares]

    def unseen(self) -> str:
        """Say which batches nobody has seen, if there are any."""
        rest = [
            f"`worker_batches[{i}]` from batch {share.taken} of epoch {share.epoch} on"
            for i, share in enumerate(self._shares)
            if share.epoch < self.epochs
        ]
        return ", ".join(rest)
