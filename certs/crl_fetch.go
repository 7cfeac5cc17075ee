package certs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Times of a CRLFetcher. A list is fetched anew in half of the time that it still holds, within these bounds; after a
// failure it is tried again after failureWait, then after twice that, and so on. A tenth of all that is left to chance,
// so that many servers do not ask at once.
const (
	fetchTimeout = 30 * time.Second
	fetchAtLeast = 10 * time.Second
	fetchAtMost  = time.Hour
	failureWait  = 10 * time.Second
	failureMost  = 10 * time.Minute
	fetchLook    = time.Minute // whether one is due: a machine may have slept, or its clock been set
)

// CRLFetcherOptions says which revocation lists to fetch.
type CRLFetcherOptions struct {
	// URLs are those of the lists, http:// or https://. A list is signed, so that http:// does no harm.
	URLs []string

	// Dir is where the last good lists are kept, so that a restart needs no server; made (0700) if it is missing.
	// Empty: nowhere.
	Dir string

	// Authorities are those of RevocationOptions: a list in the name of one that has not signed it is not taken.
	Authorities []string

	// Client does the fetching. Nil: one that takes 30 seconds at most, and no proxy.
	Client *http.Client
}

// CRLFetcher fetches revocation lists on a schedule and keeps the last good ones. Lists may be called at any time;
// Fetch and Run must not run at once.
type CRLFetcher struct {
	client      *http.Client
	authorities []string
	sources     []*crlSource
}

// A crlSource is one URL.
type crlSource struct {
	url   string
	shown string // without a password
	file  string // empty: it is not kept on disk

	due      time.Time // the next attempt, by the clock on the wall; this and what follows belongs to Fetch and Run
	failures int       // in a row
	etag     string    // of what was taken last (RFC 9110, 8.8.3); its date would not tell two lists of one second apart
	digest   [sha256.Size]byte

	mu     sync.Mutex
	newest *RevocationList // nil: none yet; guarded by mu
	proved *RevocationList // the last one that was proved before newest, until that is; guarded by mu
}

// CRLFetch tells of one attempt to fetch a list.
type CRLFetch struct {
	URL     string // without a password
	Changed bool   // there is a new list
	Err     error  // what went wrong; the last good list counts on, unless Changed says otherwise
	Next    time.Duration
}

// NewCRLFetcher reads the lists that are kept in Dir; one that is damaged is as good as none, and will be replaced.
func NewCRLFetcher(o CRLFetcherOptions) (*CRLFetcher, error) {
	f := &CRLFetcher{client: o.Client, authorities: slices.Clone(o.Authorities)}
	if f.client == nil {
		f.client = &http.Client{Timeout: fetchTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	}
	for _, text := range o.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("fetch revocation list %q: the address does not begin with http:// or https:// and a host", text)
		}
		s := &crlSource{url: text, shown: u.Redacted()}
		if o.Dir != "" {
			s.file = filepath.Join(o.Dir, fmt.Sprintf("%x.crl", sha256.Sum256([]byte(text))))
			s.restore()
		}
		f.sources = append(f.sources, s)
	}
	return f, nil
}

// restore takes what was kept.
func (s *crlSource) restore() {
	if data, err := readFileUpTo(s.file, maxListBytes); err == nil {
		if lists, err := ParseRevocationLists(s.shown, data); err == nil && len(lists) == 1 {
			s.newest, s.digest = lists[0], sha256.Sum256(data)
		}
	}
}

// Lists returns the lists that are there by now, for RevocationOptions: the newest of each URL, and the one before as
// long as it is not known whether its issuer has signed the newest.
func (f *CRLFetcher) Lists() []*RevocationList {
	var lists []*RevocationList
	for _, s := range f.sources {
		s.mu.Lock()
		if s.newest != nil && s.newest.proved() {
			s.proved = nil
		}
		for _, l := range []*RevocationList{s.newest, s.proved} {
			if l != nil {
				lists = append(lists, l)
			}
		}
		s.mu.Unlock()
	}
	return lists
}

// Fetch tries every URL once, and tells of each attempt.
func (f *CRLFetcher) Fetch(ctx context.Context) []CRLFetch {
	var all []CRLFetch
	for _, s := range f.sources {
		all = append(all, f.attempt(ctx, s))
	}
	return all
}

// Run fetches every list at once, and then whenever it is due, until ctx ends. It calls report after each attempt.
func (f *CRLFetcher) Run(ctx context.Context, report func(CRLFetch)) {
	if len(f.sources) == 0 {
		return
	}
	for {
		next := slices.MinFunc(f.sources, func(a, b *crlSource) int { return a.due.Compare(b.due) })
		timer := time.NewTimer(min(time.Until(next.due), fetchLook))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if !next.isDue(time.Now()) {
			continue
		}
		done := f.attempt(ctx, next)
		if ctx.Err() != nil {
			return
		}
		report(done)
	}
}

func (f *CRLFetcher) attempt(ctx context.Context, s *crlSource) CRLFetch {
	changed, err := f.update(ctx, s)
	if err == nil {
		s.failures = 0
	} else {
		s.failures++
		err = fmt.Errorf("fetch revocation list %q: %w", s.shown, err)
	}
	wait := s.wait(time.Now())
	s.due = time.Now().Add(wait).Round(0) // lists expire by the clock on the wall
	return CRLFetch{s.shown, changed, err, wait}
}

// wait is the time until the next attempt.
func (s *crlSource) wait(now time.Time) time.Duration {
	wait := fetchAtMost
	if s.failures > 0 {
		wait = min(failureWait<<min(s.failures-1, 16), failureMost)
	} else if s.newest != nil {
		wait = min(max(s.newest.nextUpdate.Sub(now)/2, fetchAtLeast), fetchAtMost)
	}
	return wait - rand.N(wait/10)
}

// isDue is true also where it would be longer than any wait: the clock was set back.
func (s *crlSource) isDue(now time.Time) bool {
	return !now.Before(s.due) || s.due.Sub(now) > fetchAtMost
}

// update fetches, checks, takes and keeps a list. Its error may come with a new list: one that has expired, or that
// cannot be kept on disk, is still better than an older one.
func (f *CRLFetcher) update(ctx context.Context, s *crlSource) (changed bool, err error) {
	data, header, err := f.get(ctx, s)
	if err != nil {
		return false, err
	}
	digest := s.digest
	if data != nil {
		digest = sha256.Sum256(data)
	}
	if digest == s.digest {
		return false, s.expired()
	}
	lists, err := ParseRevocationLists(s.shown, data)
	switch {
	case err != nil:
		return false, err
	case len(lists) != 1:
		return false, fmt.Errorf("%d lists were sent, want one", len(lists))
	case s.newest != nil && string(s.newest.rawIssuer) == string(lists[0].rawIssuer) && compareAge(s.newest, lists[0]) < 0:
		return false, errors.New("the server has sent an older list than the last one")
	}
	if authorities, err := listSigners(f.authorities); err == nil { // else whoever loads them says so
		if err := lists[0].checkAgainst(authorities); err != nil {
			return false, err
		}
	}
	s.take(lists[0])
	s.digest, s.etag = digest, header.Get("ETag")
	if err := s.keep(data); err != nil {
		return true, err
	}
	return true, s.expired()
}

func (s *crlSource) take(l *RevocationList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest != nil && s.newest.proved() {
		s.proved = s.newest
	}
	s.newest = l
}

// keep writes the list for the next start.
func (s *crlSource) keep(data []byte) error {
	if s.file == "" {
		return nil
	}
	if err := storeFile(s.file, data); err != nil {
		return fmt.Errorf("keep it in %q: %w", s.file, err)
	}
	return nil
}

// expired is an error if the server publishes nothing that still holds.
func (s *crlSource) expired() error {
	if now := time.Now(); s.newest != nil && now.After(s.newest.nextUpdate) {
		return fmt.Errorf("the list that the server has expired %s", moment(s.newest.nextUpdate, now))
	}
	return nil
}

// get returns what the server has; nil: what it had the last time.
func (f *CRLFetcher) get(ctx context.Context, s *crlSource) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, nil, err
	}
	if s.etag != "" {
		request.Header.Set("If-None-Match", s.etag)
	}
	response, err := f.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // the address is named already
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		data, err := readUpTo(response.Body, maxListBytes)
		return data, response.Header, err
	case http.StatusNotModified:
		return nil, response.Header, nil
	}
	return nil, nil, fmt.Errorf("the server answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
}
