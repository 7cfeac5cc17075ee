package main

import "os"

func inForeground(*os.File) bool { return true }
