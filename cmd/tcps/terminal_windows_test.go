package main

func withoutTerminal() {} // the scripts do not run on Windows
