package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

type serverSettings struct {
	Concurrency     int            `json:"concurrency"`
	Queues          map[string]int `json:"queues"`
	Strict          bool           `json:"strict"`
	ShutdownTimeout Seconds        `json:"shutdown_timeout"`
	DelayedInterval Seconds        `json:"delayed_interval"`
	CheckInterval   Seconds        `json:"check_interval"`
	JanitorInterval Seconds        `json:"janitor_interval"`
	RetryDelay      *Seconds       `json:"retry_delay"` // absent: the default of asynq
	Aggregate       bool           `json:"aggregate"`
	AggregateType   string         `json:"aggregate_type"` // the type of the aggregated task
	GroupGrace      Seconds        `json:"group_grace"`
	GroupMaxDelay   Seconds        `json:"group_max_delay"`
	GroupMaxSize    int            `json:"group_max_size"`
}

// seen is the data of a task that a handler sees.
type seen struct {
	ID       string            `json:"id"`
	Type     string            `json:"type"`
	Payload  []byte            `json:"payload"`
	Headers  map[string]string `json:"headers"`
	Queue    string            `json:"queue"`
	Retried  int               `json:"retried"`
	MaxRetry int               `json:"max_retry"`
	Deadline Moment            `json:"deadline"`
}

func look(ctx context.Context, task *asynq.Task) seen {
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	retried, _ := asynq.GetRetryCount(ctx)
	maxRetry, _ := asynq.GetMaxRetry(ctx)
	deadline, _ := ctx.Deadline()
	return seen{id, task.Type(), task.Payload(), task.Headers(), queue, retried, maxRetry, Moment{deadline}}
}

var errSoft = errors.New("not a failure")

// server runs tasks. A test stops it by a signal, as an operator does: TERM, TSTP or KILL.
func server(connection asynq.RedisConnOpt, settings json.RawMessage) (verbs, error) {
	given := serverSettings{AggregateType: "ok:aggregated"}
	if err := decode(settings, &given); err != nil {
		return nil, err
	}
	config := asynq.Config{
		Concurrency:              given.Concurrency,
		Queues:                   given.Queues,
		StrictPriority:           given.Strict,
		ShutdownTimeout:          given.ShutdownTimeout.duration(),
		DelayedTaskCheckInterval: given.DelayedInterval.duration(),
		TaskCheckInterval:        given.CheckInterval.duration(),
		JanitorInterval:          given.JanitorInterval.duration(),
		GroupGracePeriod:         given.GroupGrace.duration(),
		GroupMaxDelay:            given.GroupMaxDelay.duration(),
		GroupMaxSize:             given.GroupMaxSize,
		IsFailure:                func(err error) bool { return !errors.Is(err, errSoft) },
		ErrorHandler:             asynq.ErrorHandlerFunc(reportError),
	}
	if given.RetryDelay != nil {
		config.RetryDelayFunc = func(int, error, *asynq.Task) time.Duration { return given.RetryDelay.duration() }
	}
	if given.Aggregate {
		config.GroupAggregator = asynq.GroupAggregatorFunc(func(group string, tasks []*asynq.Task) *asynq.Task {
			return aggregate(given.AggregateType, group, tasks)
		})
	}
	server := asynq.NewServer(connection, config)
	if err := server.Start(asynq.HandlerFunc(handle)); err != nil {
		return nil, err
	}
	go handleSignals(server)
	return verbs{
		"ping": on(func(struct{}) (any, error) { return true, server.Ping() }),
	}, nil
}

// handleSignals reacts to signals as asynq's Run does, and sends events.
func handleSignals(server *asynq.Server) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGTSTP)
	for number := range signals {
		if number == syscall.SIGTSTP {
			server.Stop()
			say(map[string]any{"event": "stopped"})
			continue
		}
		server.Shutdown()
		say(map[string]any{"event": "closed"})
		os.Exit(0)
	}
}

func handle(ctx context.Context, task *asynq.Task) error {
	view := look(ctx, task)
	say(map[string]any{"event": "started", "task": view})
	err := perform(ctx, task, view)
	ended := map[string]any{"event": "ended", "task": view, "error": nil}
	if err != nil {
		ended["error"] = err.Error()
	}
	say(ended)
	return err
}

// perform behaves as the first word of the task type says; the rest of the type is a number for some words.
func perform(ctx context.Context, task *asynq.Task, view seen) error {
	first, rest := word(task.Type())
	number, _ := strconv.Atoi(rest)
	text := string(task.Payload())
	switch first {
	case "ok":
		return nil
	case "result": // returns its payload
		_, err := task.ResultWriter().Write(task.Payload())
		return err
	case "fail":
		return errors.New(text)
	case "flaky": // fails this number of times
		if view.Retried < number {
			return fmt.Errorf("failure %d", view.Retried+1)
		}
		return nil
	case "soft":
		return fmt.Errorf("%s: %w", text, errSoft)
	case "skip":
		return fmt.Errorf("%s: %w", text, asynq.SkipRetry)
	case "revoke":
		return fmt.Errorf("%s: %w", text, asynq.RevokeTask)
	case "panic":
		panic(text)
	case "sleep": // sleeps this number of milliseconds unless cancelled
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(number) * time.Millisecond):
			return nil
		}
	case "cpu": // computes for this number of milliseconds, ignoring cancellation
		for end := time.Now().Add(time.Duration(number) * time.Millisecond); time.Now().Before(end); {
		}
		return nil
	}
	return fmt.Errorf("no handler for %q: %w", task.Type(), asynq.ErrHandlerNotFound)
}

func reportError(ctx context.Context, task *asynq.Task, err error) {
	say(map[string]any{
		"event":    "failed",
		"task":     look(ctx, task),
		"error":    err.Error(),
		"is_panic": asynq.IsPanicError(err),
	})
}

// aggregate joins the payloads with newlines.
func aggregate(taskType, group string, tasks []*asynq.Task) *asynq.Task {
	members := []map[string]any{}
	payloads := [][]byte{}
	for _, task := range tasks {
		members = append(members, map[string]any{
			"type": task.Type(), "payload": task.Payload(), "headers": task.Headers(),
		})
		payloads = append(payloads, task.Payload())
	}
	say(map[string]any{"event": "aggregated", "group": group, "tasks": members})
	return asynq.NewTask(taskType, bytes.Join(payloads, []byte("\n")))
}
