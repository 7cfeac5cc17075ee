package storagetest

import (
	"context"
	"errors"
	"testing"

	"github.com/caddyserver/certmagic"
)

// ErrFault is what a Faulty returns where its Fail says so.
var ErrFault = errors.New("storagetest: fault")

// Op is an operation of a storage.
type Op string

// The operations that can fail. Exists has no error: it answers false.
const (
	Store  Op = "store"
	Load   Op = "load"
	Delete Op = "delete"
	Exists Op = "exists"
	List   Op = "list"
	Stat   Op = "stat"
	Lock   Op = "lock"
	Unlock Op = "unlock"
)

// Moment is when an operation fails.
type Moment string

// The moments: nothing has happened yet, or all has and only the answer is lost.
const (
	Before Moment = "before"
	After  Moment = "after"
)

// Faulty is a storage that fails as a test says. It is used as the storage that it is made of.
type Faulty struct {
	certmagic.Storage

	// Fail is asked twice in each operation, by any number of goroutines: true makes it fail with ErrFault.
	Fail func(op Op, key string, m Moment) bool
}

// do has the effect of an operation between its two chances to fail.
func (f *Faulty) do(op Op, key string, effect func() error) error {
	if f.Fail(op, key, Before) {
		return ErrFault
	}
	if err := effect(); err != nil {
		return err
	}
	if f.Fail(op, key, After) {
		return ErrFault
	}
	return nil
}

// Store is the storage's, or a fault.
func (f *Faulty) Store(ctx context.Context, key string, value []byte) error {
	return f.do(Store, key, func() error { return f.Storage.Store(ctx, key, value) })
}

// Load is the storage's, or a fault.
func (f *Faulty) Load(ctx context.Context, key string) ([]byte, error) {
	return answer(f, Load, key, func() ([]byte, error) { return f.Storage.Load(ctx, key) })
}

// Delete is the storage's, or a fault.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	return f.do(Delete, key, func() error { return f.Storage.Delete(ctx, key) })
}

// Exists is the storage's, or false.
func (f *Faulty) Exists(ctx context.Context, key string) bool {
	there := false
	err := f.do(Exists, key, func() error { there = f.Storage.Exists(ctx, key); return nil })
	return there && err == nil
}

// List is the storage's, or a fault.
func (f *Faulty) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	return answer(f, List, prefix, func() ([]string, error) { return f.Storage.List(ctx, prefix, recursive) })
}

// Stat is the storage's, or a fault.
func (f *Faulty) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	return answer(f, Stat, key, func() (certmagic.KeyInfo, error) { return f.Storage.Stat(ctx, key) })
}

// Lock is the storage's, or a fault. A lock that was taken before its fault is given back, as an operating system does
// when a program ends: the caller cannot know that it holds it.
func (f *Faulty) Lock(ctx context.Context, name string) error {
	locked := false
	err := f.do(Lock, name, func() error {
		err := f.Storage.Lock(ctx, name)
		locked = err == nil
		return err
	})
	if locked && err != nil {
		err = errors.Join(err, f.Storage.Unlock(ctx, name))
	}
	return err
}

// Unlock is the storage's, or a fault.
func (f *Faulty) Unlock(ctx context.Context, name string) error {
	return f.do(Unlock, name, func() error { return f.Storage.Unlock(ctx, name) })
}

// answer is do for operations that return something.
func answer[T any](f *Faulty, op Op, key string, ask func() (T, error)) (T, error) {
	var got, none T
	err := f.do(op, key, func() (err error) {
		got, err = ask()
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

// faults: after one, the value is the old or the new one, and trying again does what was asked for.
func faults(t *testing.T, open func() certmagic.Storage) {
	real := open()
	for _, op := range []Op{Store, Load, Delete, List, Stat, Lock, Unlock} {
		for _, moment := range []Moment{Before, After} {
			t.Run(string(op)+" "+string(moment), func(t *testing.T) {
				store(t, real, "a/key", "old")
				if op == Unlock {
					lock(t, real, "name")
				}
				faulted := false
				s := &Faulty{real, func(o Op, _ string, m Moment) bool {
					now := o == op && m == moment && !faulted
					faulted = faulted || now
					return now
				}}
				if err := attempt(t, s, op); !errors.Is(err, ErrFault) {
					t.Fatalf("no fault, but %v", err)
				}
				if value, err := real.Load(t.Context(), "a/key"); err == nil && string(value) != "old" && string(value) != "new" || err != nil && op != Delete {
					t.Fatalf("after the fault there is %q, %v", value, err)
				}
				if op == Unlock && moment == After {
					return // it is done; again would be a mistake
				}
				if err := attempt(t, s, op); err != nil {
					t.Fatalf("trying again: %v", err)
				}
				if op == Store {
					wantValue(t, real, "a/key", "new")
				}
				if real.Exists(t.Context(), "a/key") == (op == Delete) {
					t.Error("trying again did not do what was asked for")
				}
			})
		}
	}
}

// attempt does one operation, and gives back the lock that it takes.
func attempt(t *testing.T, s *Faulty, op Op) error {
	t.Helper()
	var err error
	switch op {
	case Store:
		err = s.Store(t.Context(), "a/key", []byte("new"))
	case Load:
		_, err = s.Load(t.Context(), "a/key")
	case Delete:
		err = s.Delete(t.Context(), "a/key")
	case List:
		_, err = s.List(t.Context(), "a", true)
	case Stat:
		_, err = s.Stat(t.Context(), "a/key")
	case Lock:
		if err = s.Lock(t.Context(), "name"); err == nil {
			unlock(t, s, "name")
		}
	case Unlock:
		err = s.Unlock(t.Context(), "name")
	}
	return err
}
