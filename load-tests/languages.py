"""The estate's rules in the language of each engine, as somebody would write them who knows the engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from model import READ, WRITE, Estate, Rule, group_name, service_name, workload_id, workload_name

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parent / "policies" / "quickstart" / "portcullis.cedarschema"
# Portcullis reads files of up to 16 MiB; a policy here has some 200 bytes.
POLICIES_PER_FILE = 10_000


def cedar(estate: Estate, directory: Path) -> None:
    """A policy directory of Portcullis's: the shipped schema, policies, and who is in which group."""
    directory.mkdir(parents=True)
    shutil.copy(SCHEMA, directory)
    for first in range(0, len(estate.rules), POLICIES_PER_FILE):
        policies = estate.rules[first : first + POLICIES_PER_FILE]
        (directory / f"estate-{first:06}.cedar").write_text("\n".join(map(_cedar_policy, policies)))
    entities = [
        {
            "uid": {"type": "Workload", "id": workload_id(number)},
            "attrs": {"trust_domain": "load.test", "path": f"/{workload_name(number)}"},
            "parents": [{"type": "Group", "id": group_name(estate.group_of(number))}],
        }
        for number in range(estate.workloads)
    ]
    groups = {estate.group_of(number) for number in range(estate.workloads)}
    entities += [{"uid": {"type": "Group", "id": group_name(number)}, "attrs": {}, "parents": []} for number in groups]
    (directory / "estate.json").write_text(json.dumps(entities))


def _cedar_policy(rule: Rule) -> str:
    principal = "principal"
    if rule.workload is not None:
        principal += f' == Workload::"{workload_id(rule.workload)}"'
    elif rule.group is not None:
        principal += f' in Group::"{group_name(rule.group)}"'
    match rule.methods:
        case ():
            action = "action"
        case methods if methods == READ:
            action = 'action in Action::"read"'
        case methods if methods == WRITE:
            action = 'action in Action::"write"'
        case (method,):
            action = f'action == Action::"{method}"'
        case _:
            action = 'action in [Action::"read", Action::"write"]'
    below = f'Path::"{rule.below}"' if rule.below else f'Service::"{service_name(rule.service)}"'
    when = ""
    if rule.tenant:
        when = f'\nwhen {{ context.headers has "x-tenant" && context.headers["x-tenant"] == "{rule.tenant}" }}'
    effect = "permit" if rule.permit else "forbid"
    return f'@id("{rule.name}")\n{effect} ({principal}, {action}, resource in {below}){when};\n'


def rego_naive(estate: Estate, directory: Path) -> None:
    """One list of rules, gone through for each request."""
    directory.mkdir(parents=True)
    shutil.copy(HERE / "rego" / "naive.rego", directory / "policy.rego")
    data = {"groups": _groups(estate), "rules": [_rego_rule(rule) for rule in estate.rules]}
    (directory / "data.json").write_text(json.dumps(data))


def rego_indexed(estate: Estate, directory: Path) -> None:
    """The same rules in documents by service, method and caller, so that only those of one place are gone through."""
    directory.mkdir(parents=True)
    shutil.copy(HERE / "rego" / "indexed.rego", directory / "policy.rego")
    permits: dict = {}
    forbids: dict = {}
    for rule in estate.rules:
        for method in rule.methods or READ + WRITE:
            who = "*"
            if rule.workload is not None:
                who = workload_id(rule.workload)
            elif rule.group is not None:
                who = group_name(rule.group)
            tree = permits if rule.permit else forbids
            of_method = tree.setdefault(service_name(rule.service), {}).setdefault(method, {})
            of_method.setdefault(who, []).append({"below": _prefix(rule), "tenant": rule.tenant or ""})
    data = {"groups": _groups(estate), "permits": permits, "forbids": forbids}
    (directory / "data.json").write_text(json.dumps(data))


def _groups(estate: Estate) -> dict[str, list[str]]:
    return {workload_id(number): [group_name(estate.group_of(number))] for number in range(estate.workloads)}


def _prefix(rule: Rule) -> str:
    return f"{rule.below}/" if rule.below else "/"


def _rego_rule(rule: Rule) -> dict:
    return {
        "permit": rule.permit,
        "workload": workload_id(rule.workload) if rule.workload is not None else "",
        "group": group_name(rule.group) if rule.group is not None else "",
        "methods": list(rule.methods),
        "service": service_name(rule.service),
        "below": _prefix(rule),
        "tenant": rule.tenant or "",
    }


def cerbos(estate: Estate, directory: Path) -> None:
    """A resource policy for each service, and in it a rule for each of the estate's. Workloads and groups are roles."""
    directory.mkdir(parents=True)
    by_service: dict[int, list[Rule]] = {}
    for rule in estate.rules:
        by_service.setdefault(rule.service, []).append(rule)
    for service, rules in by_service.items():
        policy = {
            "apiVersion": "api.cerbos.dev/v1",
            "resourcePolicy": {
                "version": "default",
                "resource": service_name(service),
                "rules": [_cerbos_rule(rule) for rule in rules],
            },
        }
        # Not all in one directory: it would have 10,000 files.
        home = directory / f"{service // 500:03}"
        home.mkdir(exist_ok=True)
        (home / f"{service_name(service)}.json").write_text(json.dumps(policy))


def _cerbos_rule(rule: Rule) -> dict:
    who = "*"
    if rule.workload is not None:
        who = workload_name(rule.workload)
    elif rule.group is not None:
        who = group_name(rule.group)
    conditions = []
    if rule.below:
        conditions.append({"expr": f'R.attr.path.startsWith("{_prefix(rule)}")'})
    if rule.tenant:
        conditions.append({"expr": f'has(R.attr.tenant) && R.attr.tenant == "{rule.tenant}"'})
    made = {
        "name": rule.name,
        "actions": list(rule.methods) or ["*"],
        "effect": "EFFECT_ALLOW" if rule.permit else "EFFECT_DENY",
        "roles": [who],
    }
    if conditions:
        made["condition"] = {"match": {"all": {"of": conditions}}}
    return made
