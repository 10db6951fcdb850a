"""Policies: when a gradient counts, and when its worker may go on.

All that tells synchronous from asynchronous training is in the answers to these two questions.
Lesson 11 writes one of them by hand.
"""

from typing import ClassVar

from asyncml.checks import check_int


class Policy:
    """The two questions that a `ParameterServer` asks; a policy of yours answers them otherwise.

    As it stands, each gradient is an update by itself and nobody waits: asynchronous training.
    The answers depend on the arguments alone, so a policy can serve several runs.

    Attributes:
        drops_stale: whether only gradients by the newest parameters count. A gradient by older
            ones is dropped, and its worker does the same batch again, by the newest. In virtual
            time it begins again at once, when the parameters change; a thread computes to the end.
        local_steps: how many steps a worker takes by itself before it sends its parameters; 0: it
            takes none and sends gradients.

    Example:
        >>> class BackupWorkers(Policy):  # no update waits for the slowest (Chen et al. 2016)
        ...     drops_stale = True
        ...     def __init__(self, backups):
        ...         self.backups = backups
        ...     def needed(self, workers):
        ...         return max(1, workers - self.backups)
        ...     def may_go_on(self, pending, ahead):
        ...         return not pending
        >>> BackupWorkers(2).needed(workers=8)
        6
    """

    drops_stale: ClassVar[bool] = False
    local_steps: int = 0

    def needed(self, workers: int) -> int:
        """Return how many gradients make an update.

        Args:
            workers: how many still have batches, at least 1. Once they are fewer, the server asks
                again; it never waits for more gradients than there are workers.
        """
        return 1

    def may_go_on(self, pending: int, ahead: int) -> bool:
        """Return whether a worker whose gradient was taken may begin its next step.

        If not, it is asked again whenever one of the arguments has changed.

        Args:
            pending: how many of its gradients wait for others before they make an update.
            ahead: how many steps it has taken more than the slowest of those with batches.
        """
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, vars(self).values()))})"


class Async(Policy):
    """Each gradient is an update as it comes, and its worker goes on at once.

    With P workers a gradient is P - 1 updates old on average, whatever their speeds.
    Source: Dean et al. 2012, section 4.1 (Downpour SGD).
    """


class Sync(Policy):
    """An update takes a gradient of each worker, and all wait for it.

    It is training on one large batch, cut in as many parts as there are workers.
    """

    def needed(self, workers: int) -> int:
        """Return `workers`."""
        return workers

    def may_go_on(self, pending: int, ahead: int) -> bool:
        """Return whether its gradient has made an update."""
        return not pending


class KSync(Sync):
    """An update takes the first k gradients; the others begin again by the new parameters.

    Source: Dutta et al. 2018, section 2 (K-sync SGD). With exponential times of mean 1 an update
    takes H_P - H_(P - k), where H_n = 1 + 1/2 + ... + 1/n.

    Args:
        k: how many, at least 1.
    """

    drops_stale = True

    def __init__(self, k: int) -> None:
        self.k = check_int("k", k)

    def needed(self, workers: int) -> int:
        """Return k, or `workers` where they are fewer."""
        return min(self.k, workers)


class SoftSync(Policy):
    """An update takes P / n gradients, whosever they are, and nobody waits.

    Source: Zhang et al. 2016, section 3.1 (n-softsync). The mean staleness is n (P - 1) / P.

    Args:
        n: into how many updates a gradient of each worker is split, from 1 to P.
    """

    def __init__(self, n: int) -> None:
        self.n = check_int("n", n)

    def needed(self, workers: int) -> int:
        """Return the whole part of workers / n, at least 1."""
        return max(1, workers // self.n)


class StaleSync(Policy):
    """Each gradient is an update as it comes, but nobody gets far ahead of the slowest.

    Source: Ho et al. 2013, section 3 (stale synchronous parallel).

    Args:
        bound: how many steps a worker may be ahead when it begins another one, at least 0.
    """

    def __init__(self, bound: int) -> None:
        self.bound = check_int("bound", bound, 0)

    def may_go_on(self, pending: int, ahead: int) -> bool:
        """Return whether it is at most `bound` steps ahead."""
        return ahead <= self.bound


class LocalSGD(Sync):
    """Each worker takes `period` steps by itself; then all take the mean of their parameters.

    Each steps with a copy of the server's optimiser, whose state stays with it: the server's own is
    not used. A period ends with the epoch. The mean is weighted by examples.
    Source: Stich 2019 (Local SGD).

    Args:
        period: how many steps, at least 1.
    """

    def __init__(self, period: int) -> None:
        self.local_steps = check_int("period", period)
