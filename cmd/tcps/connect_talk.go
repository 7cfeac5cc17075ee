package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"
)

// talkFlags say how one talks with a server.
func talkFlags() []cli.Flag {
	return []cli.Flag{
		boolFlag("Talking", "crlf", "end lines with \\r\\n: of input, and of --send; those that end so already stay as they are"),
		boolFlag("Talking", "escapes", "read \\r \\n \\t \\\\ and \\xHH in --send and --expect"),
		jsonFlag(),
	}
}

// textOf is the value of a flag with a text for or of the server.
func textOf(c *cli.Context, flag string) ([]byte, error) {
	text := c.String(flag)
	if !c.Bool("escapes") {
		return []byte(text), nil
	}
	read, err := unescapeText(text)
	if err != nil {
		return nil, misuse("--escapes reads \\r \\n \\t \\\\ and \\xHH", "flag --%s: %v", flag, err)
	}
	return read, nil
}

func unescapeText(text string) ([]byte, error) {
	var out []byte
	for len(text) > 0 {
		if text[0] != '\\' {
			out, text = append(out, text[0]), text[1:]
			continue
		}
		if len(text) > 1 {
			if at, ok := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '\\': '\\'}[text[1]]; ok {
				out, text = append(out, at), text[2:]
				continue
			}
		}
		if len(text) >= 4 && text[1] == 'x' {
			if b, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				out, text = append(out, byte(b)), text[4:]
				continue
			}
		}
		return nil, fmt.Errorf("%q is no escape", text[:min(len(text), 4)])
	}
	return out, nil
}
