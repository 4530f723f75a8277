# The estate's rules in documents by service, method and caller: a request looks at the few that are about it.
package envoy.authz

default allow := false

http := input.attributes.request.http

caller := input.attributes.source.principal

# With a slash at its end, so that a rule about /a does not match /ab.
path := concat("", [split(http.path, "?")[0], "/"])

tenant := object.get(http.headers, "x-tenant", "")

service := input.attributes.contextExtensions.service

# Whom a rule can be about: the caller, a group of the caller's, everyone.
who contains caller

who contains group if some group in data.groups[caller]

who contains "*"

allow if {
	some name in who
	some rule in data.permits[service][http.method][name]
	applies(rule)
	not forbidden
}

forbidden if {
	some name in who
	some rule in data.forbids[service][http.method][name]
	applies(rule)
}

applies(rule) if {
	startswith(path, rule.below)
	rule.tenant in {"", tenant}
}
