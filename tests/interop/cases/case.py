"""One case: what must work, with which client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import Bench


@dataclass(frozen=True)
class Case:
    name: str
    client: str
    check: Callable[[Bench], None]
    needs: tuple[str, ...] = ()  # programs besides the client

    @property
    def programs(self) -> set[str]:
        return {self.client, *self.needs}
