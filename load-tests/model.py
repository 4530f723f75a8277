"""One estate of services, workloads and rules, from which each engine's policies and all questions are made.

A service has ten rules, in the shapes that estates have: who may read or write below a path, what a group may do, what
depends on a header, and one thing that nobody may. So each request concerns about ten rules, however many there are: what
an engine takes longer for with more rules is looking for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import json

TRUST_DOMAIN = "load.test"
RULES_PER_SERVICE = 10
READ = ("GET", "HEAD", "OPTIONS")
WRITE = ("POST", "PUT", "PATCH", "DELETE")
WORKLOADS_PER_GROUP = 10
# Of so many services questions are asked; so a size has at most three times as many callers.
SERVICES_ASKED = 40


@dataclass(frozen=True)
class Rule:
    name: str
    permit: bool
    workload: int | None  # the one whom it is about,
    group: int | None  # or all of a group; else everyone
    methods: tuple[str, ...]  # none means any
    service: int
    below: str | None  # a path; else all of the service
    tenant: str | None  # what the header `x-tenant` must be


@dataclass(frozen=True)
class Question:
    workload: int
    method: str
    service: int
    path: str
    tenant: str | None


def workload_name(number: int) -> str:
    return f"w-{number}"


def workload_id(number: int) -> str:
    return f"spiffe://{TRUST_DOMAIN}/{workload_name(number)}"


def group_name(number: int) -> str:
    return f"g-{number}"


def service_name(number: int) -> str:
    return f"svc-{number}"


class Estate:
    """So many rules, and what is asked about them; the same every time."""

    def __init__(self, rules: int) -> None:
        self.services = max(1, rules // RULES_PER_SERVICE)
        self.workloads = self.services + 2
        self.rules = [rule for service in range(self.services) for rule in self._rules(service)]
        self.questions = [question for service in self._asked() for question in self._questions(service)]

    def group_of(self, workload: int) -> int:
        return workload // WORKLOADS_PER_GROUP

    def callers(self, service: int) -> tuple[int, int, int]:
        """The workloads that a service knows by name."""
        return service, service + 1, service + 2

    def _rules(self, service: int) -> list[Rule]:
        front, reports, batch = self.callers(service)
        group = self.group_of(front)
        at = f"/{service_name(service)}"

        def rule(name, permit, who, methods, below, tenant=None) -> Rule:
            workload, members = who
            return Rule(f"{service_name(service)}-{name}", permit, workload, members, methods, service, below, tenant)

        return [
            rule("items-read", True, (front, None), READ, f"{at}/items"),
            rule("items-write", True, (front, None), WRITE, f"{at}/items", "blue"),
            rule("items-archive", True, (batch, None), ("DELETE",), f"{at}/items/archive"),
            rule("reports-read", True, (reports, None), READ, f"{at}/reports"),
            rule("reports-draft", True, (reports, None), WRITE, f"{at}/reports/drafts"),
            rule("batch-reads-all", True, (batch, None), READ, None),
            rule("public", True, (None, group), READ, f"{at}/public"),
            rule("group-posts", True, (None, group), ("POST",), f"{at}/inbox", "green"),
            rule("administration", True, (None, group), READ + WRITE, f"{at}/admin", "operations"),
            rule("nothing-internal", False, (None, None), (), f"{at}/internal"),
        ]

    def _asked(self) -> list[int]:
        count = min(SERVICES_ASKED, self.services)
        return [number * self.services // count for number in range(count)]

    def _questions(self, service: int) -> list[Question]:
        front, reports, batch = self.callers(service)
        at = f"/{service_name(service)}"
        return [
            Question(who, method, service, at + path, tenant)
            for who, method, path, tenant in (
                (front, "GET", "/items/{item}", None),
                (front, "GET", "/items/{item}/lines/3", "red"),
                (front, "PUT", "/items/{item}", "blue"),
                (front, "PUT", "/items/{item}", "red"),
                (reports, "GET", "/reports/2026/{item}", None),
                (reports, "POST", "/reports/drafts/{item}", "blue"),
                (reports, "DELETE", "/items/{item}", "blue"),
                (batch, "GET", "/items/{item}", None),
                (batch, "GET", "/internal/keys/{item}", None),
                (batch, "DELETE", "/items/archive/{item}", None),
                (front, "GET", "/public/{item}", None),
                (front, "POST", "/inbox/{item}", "green"),
            )
        ]

    def allows(self, question: Question) -> bool:
        """The right answer, from the rules read plainly. A path lies in its service, so no other service's rule applies."""
        of_service = slice(question.service * RULES_PER_SERVICE, (question.service + 1) * RULES_PER_SERVICE)
        matching = [rule for rule in self.rules[of_service] if self._matches(rule, question)]
        return any(rule.permit for rule in matching) and all(rule.permit for rule in matching)

    def _matches(self, rule: Rule, question: Question) -> bool:
        return (
            rule.service == question.service
            and (rule.workload is None or rule.workload == question.workload)
            and (rule.group is None or rule.group == self.group_of(question.workload))
            and (not rule.methods or question.method in rule.methods)
            and (rule.below is None or (question.path + "/").startswith(rule.below + "/"))
            and (rule.tenant is None or rule.tenant == question.tenant)
        )

    def askers(self) -> list[int]:
        return sorted({question.workload for question in self.questions})

    def write_questions(self, file: Path, certificates: dict[str, str], only: int | None = None) -> int:
        """Writes what check-load reads; of one caller only, if `only` says so. Returns how many of them are allowed."""
        asked = [question for question in self.questions if only in (None, question.workload)]
        shown = [
            {
                "principal": workload_id(question.workload),
                "groups": [group_name(self.group_of(question.workload))],
                "method": question.method,
                "service": service_name(question.service),
                "path": question.path,
                "tenant": question.tenant,
                "allow": self.allows(question),
            }
            for question in asked
        ]
        file.write_text(json.dumps({"certificates": certificates, "questions": shown}))
        return sum(question["allow"] for question in shown)
