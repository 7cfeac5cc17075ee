package main

import "os"

// notifyHangup does nothing: Windows has no SIGHUP, files are watched.
func notifyHangup(chan<- os.Signal) {}
