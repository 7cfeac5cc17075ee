package main

import "io/fs"

// checkOurs has nothing to look at: the mode says nothing here.
func checkOurs(fs.FileInfo) error { return nil }
