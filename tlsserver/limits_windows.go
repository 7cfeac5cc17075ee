package tlsserver

// maxDescriptors is a bound of our own: Windows has none below the memory.
func maxDescriptors() int { return 1 << 20 }
