package service

import (
	"testing"
	"testing/synctest"
	"time"
)

// takes says which members a pool gives one client, one after the other, when
// every attempt fails for no reason that counts.
func takes(p *pool, b Balance) []int {
	var tried []int
	for {
		a, ok := p.take(b, tried)
		if !ok {
			return tried
		}
		p.abandoned(a)
		tried = append(tried, a.member)
	}
}

func wantTakes(t *testing.T, p *pool, b Balance, want ...int) {
	t.Helper()
	got := takes(p, b)
	if len(got) != len(want) {
		t.Fatalf("one client was given %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("one client was given %v, want %v", got, want)
		}
	}
}

// failNext has the next attempt at a member fail.
func failNext(t *testing.T, p *pool, member int) bool {
	t.Helper()
	var others []int
	for i := range p.members {
		if i != member {
			others = append(others, i)
		}
	}
	a, ok := p.take(First, others)
	if !ok {
		t.Fatalf("member %d was not given", member)
	}
	return p.failed(a)
}

func TestAMemberIsLeftOutForASecondThenTwiceAsLongUpToAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2)
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			if told := failNext(t, p, 0); told != (i == 0) {
				t.Errorf("failure %d: told of is %v", i+1, told)
			}
			want *= time.Second
			time.Sleep(want - time.Nanosecond)
			if a, _ := p.take(First, nil); a.member != 1 {
				t.Fatalf("failure %d: the member is tried before %v", i+1, want)
			}
			time.Sleep(time.Nanosecond)
		}
		a, _ := p.take(First, nil)
		if a.member != 0 {
			t.Fatal("the member is not tried when its time has come")
		}
		if was := p.done(a); was < 2*time.Minute {
			t.Errorf("it was out for %v, want all the time", was)
		}
		failNext(t, p, 0)
		time.Sleep(time.Second)
		wantTakes(t, p, First, 0, 1) // a success makes it a second again
	})
}

func TestOneClientTriesWhetherAMemberIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2)
		failNext(t, p, 0)
		wantTakes(t, p, First, 1, 0)
		time.Sleep(time.Second)
		trial, _ := p.take(First, nil)
		if trial.member != 0 {
			t.Fatal("nobody tries it")
		}
		for range 3 {
			if a, _ := p.take(First, nil); a.member != 1 {
				t.Fatal("another client tries it too")
			}
		}
		p.abandoned(trial) // the client has gone: another one tries
		if trial, _ = p.take(First, nil); trial.member != 0 {
			t.Fatal("nobody tries it after the first has gone")
		}
		if was := p.done(trial); was != time.Second {
			t.Errorf("it was out for %v, want 1s", was)
		}
		wantTakes(t, p, First, 0, 1)
	})
}

func TestTheLastMemberIsNeverLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := newPool(1)
		for range 5 {
			failNext(t, alone, 0)
			wantTakes(t, alone, RoundRobin, 0)
		}
		p := newPool(3)
		failNext(t, p, 1)
		time.Sleep(100 * time.Millisecond)
		failNext(t, p, 2)
		failNext(t, p, 0)
		failNext(t, p, 0) // that it is tried all the same makes it no later
		wantTakes(t, p, RoundRobin, 1, 0, 2)
	})
}

// A hundred clients that wait for a target when it dies are one failure.
func TestFailuresThatBeganTogetherCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2)
		var all []attempt
		for range 100 {
			a, _ := p.take(First, nil)
			all = append(all, a)
		}
		told := 0
		for i, a := range all {
			if p.failed(a) {
				told++
			}
			if i == 50 {
				time.Sleep(2 * time.Second) // after its time, but they began before
			}
		}
		if told != 1 {
			t.Errorf("it was told of %d times", told)
		}
		if m := p.members[0]; m.failures != 1 || m.open != 0 {
			t.Errorf("%d failures and %d connections, want 1 and none", m.failures, m.open)
		}
	})
}

func TestEachWayToBalance(t *testing.T) {
	p := newPool(3)
	wantTakes(t, p, RoundRobin, 0, 1, 2)
	first, _ := p.take(RoundRobin, nil)
	second, _ := p.take(RoundRobin, nil)
	third, _ := p.take(RoundRobin, nil)
	if first.member == second.member || second.member == third.member || first.member == third.member {
		t.Errorf("in turn: %d %d %d", first.member, second.member, third.member)
	}
	p.release(second)
	if a, _ := p.take(Least, nil); a.member != second.member {
		t.Errorf("the fewest has %d, got %d", second.member, a.member)
	}
	p.release(third)
	if a, _ := p.take(Least, nil); a.member != third.member {
		t.Errorf("the fewest has %d, got %d", third.member, a.member)
	}
	for range 3 {
		if a, _ := p.take(First, nil); a.member != 0 {
			t.Errorf("the first is 0, got %d", a.member)
		}
	}
}

func TestAnActiveCheckTakesOutAndPutsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2)
		if out, _ := p.checked(0, false); !out {
			t.Error("a failing check does not take out")
		}
		if out, _ := p.checked(0, false); out {
			t.Error("the second failing check is told of too")
		}
		wantTakes(t, p, First, 1, 0)
		time.Sleep(time.Second / 2)
		if _, was := p.checked(0, true); was != time.Second/2 {
			t.Errorf("a good check says that it was out for %v", was)
		}
		wantTakes(t, p, First, 0, 1)
	})
}
