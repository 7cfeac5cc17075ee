//go:build !linux

package main

import (
	"errors"
	"os"
)

var errNoParley = errors.New("there are no upgrades on this system")

func parleyPair() (ours, theirs *os.File, err error) { return nil, nil, errNoParley }

func rights(*os.File) []byte { return nil }

func descriptor([]byte) *os.File { return nil }

func closeInPrograms() {}

// notifyUpgrade does nothing: SIGUSR2 replaces the process on Linux only.
func notifyUpgrade(chan<- os.Signal) {}
