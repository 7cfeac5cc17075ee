package tlsserver

import "strings"

// matchLabels matches a pattern in which * stands for any characters but a dot
// or a slash: within one label or one segment.
func matchLabels(pattern, s string) bool { return glob(pattern, s, "./") }

func matchDNS(pattern, s string) bool {
	return glob(hostForm(pattern), hostForm(s), ".")
}

// matchEmail compares the host without case (RFC 5321, 2.4), the mailbox with;
// a * stays on its side of the @.
func matchEmail(pattern, s string) bool {
	patternBox, patternHost, ok1 := cutLast(pattern, "@")
	box, host, ok2 := cutLast(s, "@")
	return ok1 && ok2 && glob(patternBox, box, "") && matchDNS(patternHost, host)
}

// matchURI compares scheme and host without case (RFC 3986, 6.2.2.1), the rest
// with; a * stays within a label of the host or a segment of the path.
func matchURI(pattern, s string) bool {
	patternScheme, patternHost, patternPath := splitURI(pattern)
	scheme, host, path := splitURI(s)
	return strings.EqualFold(patternScheme, scheme) &&
		glob(hostForm(patternHost), hostForm(host), ".@:") && // user info and port are no part of a label
		glob(patternPath, path, "/?#")
}

func hostForm(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// splitURI cuts scheme://host/path; of a URI without a host (urn:x:y) all that
// follows the scheme is the path.
func splitURI(s string) (scheme, host, path string) {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return "", "", s
	}
	authority, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return scheme, "", rest
	}
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		return scheme, authority[:i], authority[i:]
	}
	return scheme, authority, ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// glob matches s as a whole. A * in the pattern stands for any characters but
// separators; one that is a whole label or segment stands for at least one. On
// a mismatch only the last * is tried anew, so it takes time in proportion to
// len(pattern) × len(s) at most; that is enough, because a * before it ends at
// its separator, wherever the match was tried.
func glob(pattern, s, separators string) bool {
	p, i := 0, 0
	star, from := -1, 0 // the last * seen, and where in s its match ends
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*' && !wholeStar(pattern, p, separators):
			star, from = p, i
			p++
		case p < len(pattern) && pattern[p] == '*' && !strings.Contains(separators, s[i:i+1]):
			star, from = p, i+1
			p, i = p+1, i+1
		case p < len(pattern) && pattern[p] != '*' && pattern[p] == s[i]:
			p, i = p+1, i+1
		case star >= 0 && !strings.Contains(separators, s[from:from+1]):
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' && !wholeStar(pattern, p, separators) {
		p++
	}
	return p == len(pattern)
}

// wholeStar reports whether the * at p is a label or segment by itself.
func wholeStar(pattern string, p int, separators string) bool {
	return (p == 0 || strings.Contains(separators, pattern[p-1:p])) &&
		(p+1 == len(pattern) || strings.Contains(separators, pattern[p+1:p+2]))
}
