"""What in a finished graph can still move a frozen row."""

from tf1_embed.auditing.findings import KINDS, NOTES, Finding
from tf1_embed.auditing.live_graph import audit
from tf1_embed.auditing.metagraph import audit_metagraph
from tf1_embed.auditing.result import AuditResult, NotAudited, report

__all__ = [
    "KINDS",
    "NOTES",
    "AuditResult",
    "Finding",
    "NotAudited",
    "audit",
    "audit_metagraph",
    "report",
]
