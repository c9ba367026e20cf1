package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/robfig/cron/v3"
)

// timeout is the time limit of a search; the longest known search takes a tenth of it.
const timeout = 2 * time.Second

// firing is a query for the next Count ticks of a spec after After.
type firing struct {
	Spec  string `json:"spec"`
	Zone  string `json:"zone"` // the scheduler's location
	After Moment `json:"after"`
	Count int    `json:"count"`
}

// fired is the answer: the ticks or the error.
type fired struct {
	Times []int64 `json:"times"`
	Error string  `json:"error"` // "" when there is none
	Hangs bool    `json:"hangs"` // the search does not end and continues in this process
}

type printed struct {
	Nanoseconds int64  `json:"nanoseconds"`
	Text        string `json:"text"`
	Error       string `json:"error"`
}

// schedules parses cron specs and durations. It needs no Redis.
func schedules(_ asynq.RedisConnOpt, settings json.RawMessage) (verbs, error) {
	if err := decode(settings, &struct{}{}); err != nil {
		return nil, err
	}
	return verbs{
		"fire": on(func(with struct {
			Firings []firing `json:"firings"`
		}) (any, error) {
			return each(with.Firings, limited), nil
		}),
		"durations": on(func(with struct {
			Texts []string `json:"texts"`
		}) (any, error) {
			return each(with.Texts, duration), nil
		}),
	}, nil
}

func limited(asked firing) fired {
	answer := make(chan fired, 1)
	go func() { answer <- fire(asked) }()
	select {
	case given := <-answer:
		return given
	case <-time.After(timeout):
		return fired{Times: []int64{}, Hangs: true}
	}
}

// fire parses a spec with its location as asynq's scheduler does.
func fire(asked firing) (answer fired) {
	answer.Times = []int64{}
	defer func() {
		if problem := recover(); problem != nil {
			answer.Error = fmt.Sprintf("panic: %v", problem)
		}
	}()
	zone, err := time.LoadLocation(asked.Zone)
	if err != nil {
		answer.Error = err.Error()
		return
	}
	schedule, err := cron.ParseStandard(asked.Spec)
	if err != nil {
		answer.Error = err.Error()
		return
	}
	for at := asked.After.In(zone); len(answer.Times) < asked.Count; {
		at = schedule.Next(at)
		if at.IsZero() {
			return
		}
		answer.Times = append(answer.Times, at.Unix())
	}
	return
}

func duration(text string) printed {
	read, err := time.ParseDuration(text)
	if err != nil {
		return printed{Error: err.Error()}
	}
	return printed{int64(read), read.String(), ""}
}
