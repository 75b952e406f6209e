"""What an audit returns: its findings, and what it looked at."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from tf1_embed.auditing.findings import Finding


class NotAudited(NamedTuple):
    """An operation that writes a table, and that the fetches do not run.

    Attributes:
      table: string, the name of the variable.
      op: string, the name of the operation.
      op_type: string, its type.
      why: string: "initializer" or "restore" for those that every graph has, which give a variable
        its first value; "not fetched" for any other.
    """

    table: str
    op: str
    op_type: str
    why: str

    @property
    def is_expected(self) -> bool:
        """Whether every graph has such an operation: an initializer, or one that restores."""
        return self.why != "not fetched"


class AuditResult(list):
    """The list of what an audit finds, each a `Finding`; empty if no frozen row can move.

    Attributes:
      fetches: list of strings, the names of what was audited.
      tables: list of strings, the names of the variables.
      not_audited: list of `NotAudited`, what writes a table and was not reached by the fetches.
      notes: list of `Finding` about what else the step moves, such as moving averages.
    """

    def __init__(
        self,
        findings: Iterable[Finding] = (),
        fetches: Iterable[str] = (),
        tables: Iterable[str] = (),
        not_audited: Iterable[NotAudited] = (),
        notes: Iterable[Finding] = (),
    ):
        super().__init__(findings)
        self.fetches: list[str] = list(fetches)
        self.tables: list[str] = list(tables)
        self.not_audited: list[NotAudited] = list(not_audited)
        self.notes: list[Finding] = list(notes)

    @property
    def left_out(self) -> list[NotAudited]:
        """Those not audited that no graph need have: something may run them, and move rows."""
        return [each for each in self.not_audited if not each.is_expected]

    def as_dict(self) -> dict:
        """Returns all of it as dicts, lists and strings, ready for JSON."""
        return {
            "fetches": self.fetches,
            "tables": self.tables,
            "findings": [each._asdict() for each in self],
            "not_audited": [each._asdict() for each in self.not_audited],
            "notes": [each._asdict() for each in self.notes],
        }


# So many names are printed of a list.
_NAMES = 8


def report(findings: list[Finding]) -> str:
    """Returns what an audit found, as text, with what it looked at.

    Args:
      findings: `AuditResult`, or a list of `Finding`.
    """
    if not isinstance(findings, AuditResult):
        findings = AuditResult(findings)
    lines = [_headline(findings)]
    lines += [str(each) for each in findings]
    lines += [f"note: {each}" for each in findings.notes]
    if findings.left_out:
        lines.append("not audited, since no fetch runs them; they write a table:")
        lines += [
            f"  {each.op_type} {each.op!r} writes {each.table!r}" for each in findings.left_out
        ]
    for why, text in (("initializer", "initializers"), ("restore", "what restores checkpoints")):
        count = sum(each.why == why for each in findings.not_audited)
        if count:
            lines.append(f"not audited: {text} ({count})")
    return "\n".join(lines)


def _headline(findings):
    if findings:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        head = f"{count}: frozen rows can move"
        return f"{head}, by {_names(findings.fetches)}" if findings.fetches else head
    if not findings.fetches:
        return "clean: nothing that runs can move a frozen row"
    return (
        f"clean: {_names(findings.fetches)} cannot move a frozen row of "
        f"{_names(findings.tables) or 'no table'}"
    )


def _names(names):
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(repr(each) for each in names[:_NAMES]) + more
