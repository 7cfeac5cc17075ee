//go:build !linux

package wire

// A pipe is for Linux only.
type pipe struct{ held int }

func getPipe() *pipe                           { return nil }
func putPipe(*pipe)                            {}
func (c *Conn) canSplice() bool                { return false }
func (c *Conn) fill(*pipe) int                 { return 0 }
func (c *Conn) drain(*pipe) (n int64, _ error) { return 0, nil }
