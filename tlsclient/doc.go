// Package tlsclient dials byte streams over TLS: verified by default, with the
// ends of a stream told apart, and with a Reason for each way that dialling
// can fail.
package tlsclient
