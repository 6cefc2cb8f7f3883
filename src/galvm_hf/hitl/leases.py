"""Who has which galaxy in hand, so that no two people are asked about it at once."""

import threading
from collections.abc import Iterable

LEASE_SECONDS = 600.0


class LeasedError(RuntimeError):
    """An answer about a galaxy that somebody else has in hand.

    Args:
        object_id: The galaxy.
        holder: Who has it.
        seconds: For how much longer.
    """

    def __init__(self, object_id: str, holder: str, seconds: float):
        self.object_id, self.holder, self.seconds = object_id, holder, seconds
        super().__init__(f"{object_id} is with {holder} for another {seconds:.0f} s. Answer about another galaxy.")


class Leases:
    """Galaxies by who has them, each with one person until a time. For any number of threads.

    Times are seconds, given by whoever calls, so that a log can be replayed.

    Args:
        seconds: After which a galaxy comes back.
    """

    def __init__(self, seconds: float = LEASE_SECONDS):
        self.seconds = seconds
        self._leases: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(self, who: str, object_ids: Iterable[str], now: float) -> list[str]:
        """Give a person those that nobody else has, for the full time; returns them."""
        with self._lock:
            granted = [object_id for object_id in object_ids if self._holder(object_id, now) in (None, who)]
            for object_id in granted:
                self._leases[object_id] = (who, now + self.seconds)
            return granted

    def give_back(self, who: str, object_ids: Iterable[str]) -> None:
        """Let others have what a person has."""
        with self._lock:
            for object_id in object_ids:
                if self._leases.get(object_id, ("", 0))[0] == who:
                    del self._leases[object_id]

    def require(self, who: str, object_id: str, now: float) -> None:
        """Raise `LeasedError` if somebody else has it."""
        with self._lock:
            holder = self._holder(object_id, now)
            if holder not in (None, who):
                raise LeasedError(object_id, holder, self._leases[object_id][1] - now)

    def held(self, now: float) -> dict[str, tuple[str, float]]:
        """Who has what until when. What came back is forgotten."""
        with self._lock:
            self._leases = {name: lease for name, lease in self._leases.items() if lease[1] > now}
            return dict(self._leases)

    def _holder(self, object_id: str, now: float) -> str | None:
        who, until = self._leases.get(object_id, (None, 0.0))
        return who if until > now else None
