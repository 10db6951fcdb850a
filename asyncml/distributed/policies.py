"""Policies: when a gradient counts, and when its worker may continue.

Synchronous and asynchronous training differ only in the answers to these two questions. Lesson 11
writes one policy by hand.
"""

from typing import ClassVar

from asyncml.checks import check_int


class Policy:
    """The two questions that a `ParameterServer` asks; a subclass of yours answers them its way.

    As defined here, each gradient is an update by itself and no worker waits: asynchronous
    training. The answers depend only on the arguments, so a policy can serve several runs.

    Attributes:
        drops_stale: whether only gradients from the newest parameters count. One from older
            parameters is dropped, and its worker repeats the batch with the newest. In virtual time
            it starts again as soon as the parameters change; a thread computes to the end.
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
            workers: how many still have batches, at least 1. When this number falls, the server
                asks again; it never waits for more gradients than there are workers.
        """
        return 1

    def may_go_on(self, pending: int, ahead: int) -> bool:
        """Return whether a worker whose gradient was taken may begin its next step.

        If not, it is asked again whenever one of the arguments has changed.

        Args:
            pending: how many of its gradients are waiting for others to make up an update.
            ahead: how many more steps it has taken than the slowest worker that still has batches.
        """
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, vars(self).values()))})"


class Async(Policy):
    """Each gradient is an update as soon as it arrives, and its worker continues at once.

    With P workers a gradient is P - 1 updates old on average, whatever their speeds.
    Source: Dean et al. 2012, section 4.1 (Downpour SGD).
    """


class Sync(Policy):
    """An update takes one gradient from each worker, and all wait for it.

    This is training on one large batch, split into as many parts as there are workers.
    """

    def needed(self, workers: int) -> int:
        """Return `workers`."""
        return workers

    def may_go_on(self, pending: int, ahead: int) -> bool:
        """Return whether its gradient has been used in an update."""
        return not pending


class KSync(Sync):
    """An update takes the first k gradients; the other workers restart from the new parameters.

    Source: Dutta et al. 2018, section 2 (K-sync SGD). With exponential times of mean 1 an update
    takes H_P - H_(P - k), where H_n = 1 + 1/2 + ... + 1/n.

    Args:
        k: how many gradients, at least 1.
    """

    drops_stale = True

    def __init__(self, k: int) -> None:
        self.k = check_int("k", k)

    def needed(self, workers: int) -> int:
        """Return k, or `workers` if there are fewer."""
        return min(self.k, workers)


class SoftSync(Policy):
    """An update takes P / n gradients, from whichever workers, and no worker waits.

    Source: Zhang et al. 2016, section 3.1 (n-softsync). The mean staleness is n (P - 1) / P.

    Args:
        n: into how many updates the gradients of P workers are split, from 1 to P.
    """

    def __init__(self, n: int) -> None:
        self.n = check_int("n", n)

    def needed(self, workers: int) -> int:
        """Return the whole part of workers / n, at least 1."""
        return max(1, workers // self.n)


class StaleSync(Policy):
    """Each gradient is an update as it arrives, but no worker gets far ahead of the slowest.

    Source: Ho et al. 2013, section 3 (stale synchronous parallel).

    Args:
        bound: how many steps ahead a worker may be when it begins another one, at least 0.
    """

    def __init__(self, bound: int) -> None:
        self.bound = check_int("bound", bound, 0)

    def may_go_on(self, pending: int, ahead: int) -> bool:
        """Return whether it is at most `bound` steps ahead."""
        return ahead <= self.bound


class LocalSGD(Sync):
    """Each worker takes `period` steps by itself; then all take the mean of their parameters.

    Each worker steps with its own copy of the server's optimiser, which keeps its own state; the
    server's optimiser is not used. A period ends with the epoch. The mean is weighted by examples.
    Source: Stich 2019 (Local SGD).

    Args:
        period: how many steps, at least 1.
    """

    def __init__(self, period: int) -> None:
        self.local_steps = check_int("period", period)
