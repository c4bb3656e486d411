"""A row of the table asked for real, and everything looked at before and after."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bed import PLACE, UPSTREAM, Bed
from clone_on_host import FAST
from evidence import Evidence, evidence
from situations import LEVELS, Row
from standby_host import DATA, STATE

__all__ = ["assert_harmless"]

# The data directories of the upstream and of the standby, and all that may be a victim.
LOOKED_AT = (DATA, FAST, STATE, PLACE, UPSTREAM)
# The answers with which a clone is made.
MAKES = {"clone", "delta", "replace", "resume"}


def assert_harmless(bed: Bed, row: Row) -> None:
    """Each level gets its answer; what is refused, or only looked at, has changed nothing, and a clone no victim."""
    made = row.made(bed)
    held: AbstractContextManager[Any] = made if isinstance(made, AbstractContextManager) else nullcontext(made)
    with held as given:
        options = dict(given or {})
        before = look(bed)
        for level, told, answer in zip(LEVELS, of_levels(row.preflight), of_levels(row.clone), strict=True):
            planned = bed.preflight(overwrite=level, **options)
            assert told in answers(planned), (level, planned.get("msg"))
            if answer in MAKES:
                unchanged(bed, before)
                checked = bed.run(overwrite=level, _ansible_check_mode=True, **options)
                assert answers(checked) == {answer}, (level, checked.get("msg"))
                unchanged(bed, before)
            done = bed.run(overwrite=level, **options)
            assert answers(done) == {answer}, (level, done.get("msg"))
            if answer in MAKES:
                victims = before.of(*row.victims)
                assert victims.files or not row.victims
                assert look(bed).of(*row.victims).differs(victims) == {}
                return
        unchanged(bed, before)


def look(bed: Bed) -> Evidence:
    return evidence(bed.host, *LOOKED_AT)


def unchanged(bed: Bed, before: Evidence) -> None:
    assert look(bed).differs(before) == {}


def of_levels(answers: str | tuple[str, ...]) -> tuple[str, ...]:
    return (answers,) * len(LEVELS) if isinstance(answers, str) else answers


def answers(result: dict[str, Any]) -> set[str]:
    """Its error codes, or its action."""
    if result.get("failed"):
        return set(result.get("error_codes") or [result.get("error_code")])
    return {result.get("plan", result)["action"]}
