package tlsclient

import "io/fs"

// checkPrivate has nothing to look at: the mode says nothing here.
func checkPrivate(fs.FileInfo) error { return nil }

// checkOwner has nothing to look at either.
func checkOwner(fs.FileInfo) error { return nil }
