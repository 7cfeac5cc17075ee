// Package tlsserver is a server of byte streams over TLS, in the manner of
// net/http.Server: a Handler is called for each connection once it has come
// through admission, handshake and policy.
//
// The files follow the way of one connection: accept (server.go), admission
// (admission.go, under limits.go and addresses.go), handshake (handshake.go, in
// slots.go) under a trust value (trust.go) and a policy (policy.go), the
// service's Handler with a Conn (conn.go), and the end, of which an Observer hears
// the Reason (observe.go, reason.go).
//
// The package logs nothing, reads no environment and keeps no global state.
// A Server starts no goroutine that its Close does not end.
package tlsserver
