"""What a check of ``tokenlatch doctor`` says.

Law: a finding says what was looked at, what was found, and what to do; never a secret.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["ok", "warning", "error"]

EXIT_STATUS: Final[dict[Level, int]] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        level: How bad it is; the worst one decides the exit status.
        check: What was looked at.
        found: What was found, and what to do about it.
    """

    level: Level
    check: str
    found: str


def worst(findings: list[Finding]) -> Level:
    """Return the highest level among these."""
    return max((each.level for each in findings), key=EXIT_STATUS.__getitem__, default="ok")
