# The estate's rules as a list that is gone through for each request.
package envoy.authz

default allow := false

http := input.attributes.request.http

caller := input.attributes.source.principal

service := input.attributes.contextExtensions.service

# With a slash at its end, so that a rule about /a does not match /ab.
path := concat("", [split(http.path, "?")[0], "/"])

tenant := object.get(http.headers, "x-tenant", "")

allow if {
	some rule in data.rules
	rule.permit
	applies(rule)
	not forbidden
}

forbidden if {
	some rule in data.rules
	not rule.permit
	applies(rule)
}

applies(rule) if {
	rule.service == service
	about_caller(rule)
	about_method(rule)
	startswith(path, rule.below)
	about_tenant(rule)
}

about_caller(rule) if rule.workload == caller

about_caller(rule) if rule.group in data.groups[caller]

about_caller(rule) if {
	rule.workload == ""
	rule.group == ""
}

about_method(rule) if http.method in rule.methods

about_method(rule) if count(rule.methods) == 0

about_tenant(rule) if rule.tenant == ""

about_tenant(rule) if rule.tenant == tenant
