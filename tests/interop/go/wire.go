package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

// Seconds are a duration on the wire.
type Seconds float64

func (s Seconds) duration() time.Duration {
	return time.Duration(math.Round(float64(s) * 1e9))
}

func seconds(d time.Duration) Seconds {
	return Seconds(d.Seconds())
}

// Moment is a time on the wire: Unix seconds, null for Go's zero time.
type Moment struct{ time.Time }

func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%d.%09d", m.Unix(), m.Nanosecond()), nil
}

func (m *Moment) UnmarshalJSON(text []byte) error {
	var at *float64
	if err := json.Unmarshal(text, &at); err != nil {
		return err
	}
	m.Time = time.Time{}
	if at != nil {
		whole, part := math.Modf(*at)
		m.Time = time.Unix(int64(whole), int64(math.Round(part*1e9)))
	}
	return nil
}

// verb handles one kind of request.
type verb func(with json.RawMessage) (any, error)

type verbs map[string]verb

// on makes a verb from a function with typed arguments.
func on[A any](do func(A) (any, error)) verb {
	return func(with json.RawMessage) (any, error) {
		var arguments A
		if err := decode(with, &arguments); err != nil {
			return nil, err
		}
		return do(arguments)
	}
}

// decode rejects unknown names, so that a misspelt option of a test is not ignored.
func decode(text json.RawMessage, into any) error {
	if len(text) == 0 {
		return nil
	}
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.DisallowUnknownFields()
	return reader.Decode(into)
}

type request struct {
	ID   int             `json:"id"`
	Do   string          `json:"do"`
	With json.RawMessage `json:"with"`
}

type problem struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

type answer struct {
	ID    int      `json:"id"`
	OK    any      `json:"ok,omitempty"`
	Error *problem `json:"error,omitempty"`
}

// serve answers requests in order until the input ends, and then ends the process.
func serve(input io.Reader, known verbs) {
	lines := bufio.NewReader(input)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			os.Exit(0)
		}
		var asked request
		if err := decode(line, &asked); err != nil {
			fail(err)
		}
		do := known[asked.Do]
		if do == nil {
			fail(fmt.Errorf("unknown verb %q", asked.Do))
		}
		result, err := do(asked.With)
		if err != nil {
			say(answer{ID: asked.ID, Error: &problem{kind(err), err.Error()}})
		} else {
			say(answer{ID: asked.ID, OK: result})
		}
	}
}

var output sync.Mutex

// say writes one line atomically.
func say(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		fail(err)
	}
	output.Lock()
	defer output.Unlock()
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		os.Exit(1)
	}
}

var kinds = []struct {
	kind string
	err  error
}{
	{"duplicate", asynq.ErrDuplicateTask},
	{"id_conflict", asynq.ErrTaskIDConflict},
	{"queue_not_found", asynq.ErrQueueNotFound},
	{"queue_not_empty", asynq.ErrQueueNotEmpty},
	{"task_not_found", asynq.ErrTaskNotFound},
	{"server_closed", asynq.ErrServerClosed},
	{"lease_expired", asynq.ErrLeaseExpired},
}

// kind names the public errors of asynq.
func kind(err error) string {
	for _, known := range kinds {
		if errors.Is(err, known.err) {
			return known.kind
		}
	}
	return internalKind(err)
}
