package tlsclient

import "io/fs"

// checkOwner has nothing to look at: files have no such owner here.
func checkOwner(fs.FileInfo) error { return nil }
