"""Every case, in the order in which they run."""

from __future__ import annotations

from cases import admin, authorities, authzen, exports, federation, libraries, logs, twins, witnesses, workload
from cases.case import Case

CASES: tuple[Case, ...] = (
    *admin.CASES,
    *federation.CASES,
    *workload.CASES,
    *libraries.CASES,
    *twins.CASES,
    *authzen.CASES,
    *logs.CASES,
    *witnesses.CASES,
    *exports.CASES,
    # Last, because they replace the authorities that all others rely on.
    *authorities.CASES,
)

__all__ = ["CASES", "Case"]
