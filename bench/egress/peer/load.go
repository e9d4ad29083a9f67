package main

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// load keeps a number of connections busy, each with one request after the other, for some seconds.
func (c *client) load(j *job) (any, error) {
	conns := make([]*connection, 0, j.Connections)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for len(conns) < j.Connections {
		conn, _, err := c.open(&j.target)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
		// One request that does not count: a proxy connects to its server at this time.
		if err := conn.get(); err != nil {
			return nil, err
		}
	}
	took := make([][]time.Duration, len(conns))
	failures := make([]error, len(conns))
	start := time.Now()
	end := start.Add(time.Duration(j.Seconds * float64(time.Second)))
	var all sync.WaitGroup
	for index, conn := range conns {
		all.Add(1)
		go func() {
			defer all.Done()
			took[index], failures[index] = conn.getUntil(end)
		}()
	}
	all.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	times := slices.Concat(took...)
	return map[string]any{
		"requests":  len(times),
		"perSecond": float64(len(times)) / elapsed.Seconds(),
		"latency":   quantiles(times),
	}, nil
}

func (c *connection) getUntil(end time.Time) ([]time.Duration, error) {
	var took []time.Duration
	for before := time.Now(); before.Before(end); {
		if err := c.get(); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(before))
		before = now
	}
	return took, nil
}

// latency sends the same request straight and through a proxy in turns, on one connection each.
func (c *client) latency(j *job) (any, error) {
	through, _, err := c.open(&j.target)
	if err != nil {
		return nil, err
	}
	defer through.Close()
	direct, _, err := c.open(j.Direct)
	if err != nil {
		return nil, err
	}
	defer direct.Close()
	pair := []*connection{direct, through}
	took := make([][]time.Duration, 2)
	for round := 0; round < j.Count; round++ {
		for index, conn := range pair {
			before := time.Now()
			if err := conn.get(); err != nil {
				return nil, err
			}
			took[index] = append(took[index], time.Since(before))
		}
	}
	return map[string]any{"direct": quantiles(took[0]), "through": quantiles(took[1])}, nil
}

func quantiles(times []time.Duration) map[string]float64 {
	slices.Sort(times)
	at := func(share float64) float64 {
		return milliseconds(times[min(len(times)-1, int(share*float64(len(times))))])
	}
	return map[string]float64{"p50": at(0.5), "p99": at(0.99), "max": at(1)}
}
