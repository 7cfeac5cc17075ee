// Package service has the services of a tlsserver.Server that need no program
// behind them: each is a tlsserver.Handler, and the same on TLS, plain TCP and
// Unix sockets.
package service
