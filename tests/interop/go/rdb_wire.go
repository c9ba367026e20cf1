package main

import (
	"strings"

	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/internal/errors"
	"github.com/hibiken/asynq/internal/rdb"
)

// message has the fields of base.TaskMessage in the same order, which the conversion between them requires.
type message struct {
	Type         string            `json:"type"`
	Payload      []byte            `json:"payload"`
	Headers      map[string]string `json:"headers"`
	ID           string            `json:"id"`
	Queue        string            `json:"queue"`
	Retry        int               `json:"retry"`
	Retried      int               `json:"retried"`
	ErrorMsg     string            `json:"error_msg"`
	LastFailedAt int64             `json:"last_failed_at"`
	Timeout      int64             `json:"timeout"`
	Deadline     int64             `json:"deadline"`
	UniqueKey    string            `json:"unique_key"`
	GroupKey     string            `json:"group_key"`
	Retention    int64             `json:"retention"`
	CompletedAt  int64             `json:"completed_at"`
}

func messageOf(stored *base.TaskMessage) message { return message(*stored) }

type storedTask struct {
	Message       message `json:"message"`
	State         string  `json:"state"`
	NextProcessAt Moment  `json:"next_process_at"`
	Result        []byte  `json:"result"`
}

func storedOf(task *base.TaskInfo) storedTask {
	return storedTask{messageOf(task.Message), task.State.String(), Moment{task.NextProcessAt}, task.Result}
}

type serverState struct {
	Host              string         `json:"host"`
	PID               int            `json:"pid"`
	ServerID          string         `json:"server_id"`
	Concurrency       int            `json:"concurrency"`
	Queues            map[string]int `json:"queues"`
	StrictPriority    bool           `json:"strict_priority"`
	Status            string         `json:"status"`
	Started           Moment         `json:"started"`
	ActiveWorkerCount int            `json:"active_worker_count"`
}

type workerState struct {
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	ServerID string `json:"server_id"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Payload  []byte `json:"payload"`
	Queue    string `json:"queue"`
	Started  Moment `json:"started"`
	Deadline Moment `json:"deadline"`
}

type entryState struct {
	ID      string   `json:"id"`
	Spec    string   `json:"spec"`
	Type    string   `json:"type"`
	Payload []byte   `json:"payload"`
	Options []string `json:"options"`
	Next    Moment   `json:"next"`
	Prev    Moment   `json:"prev"`
}

// call contains the arguments of all verbs; each verb uses some of them.
type call struct {
	Now       Moment        `json:"now"` // the time of the clock from this call on
	Message   message       `json:"message"`
	Queue     string        `json:"queue"`
	Queues    []string      `json:"queues"`
	ID        string        `json:"id"`
	IDs       []string      `json:"ids"`
	State     string        `json:"state"`
	Group     string        `json:"group"`
	Set       string        `json:"set"`
	At        Moment        `json:"at"`
	TTL       Seconds       `json:"ttl"`
	Grace     Seconds       `json:"grace"`
	MaxDelay  Seconds       `json:"max_delay"`
	MaxSize   int           `json:"max_size"`
	Limit     int           `json:"limit"`
	Size      int           `json:"size"`
	Page      int           `json:"page"`
	Days      int           `json:"days"`
	Error     string        `json:"error"`
	IsFailure bool          `json:"is_failure"`
	Data      []byte        `json:"data"`
	Force     bool          `json:"force"`
	Server    serverState   `json:"server"`
	Workers   []workerState `json:"workers"`
	Entries   []entryState  `json:"entries"`
}

func (c call) pages() rdb.Pagination { return rdb.Pagination{Size: c.Size, Page: c.Page} }

func stored(c call) *base.TaskMessage {
	m := base.TaskMessage(c.Message)
	return &m
}

// internalKind names the internal errors of asynq.
func internalKind(err error) string {
	switch {
	case errors.Is(err, errors.ErrNoProcessableTask):
		return "nothing"
	case errors.Is(err, errors.ErrDuplicateTask):
		return "duplicate"
	case errors.Is(err, errors.ErrTaskIdConflict):
		return "id_conflict"
	case errors.IsQueueNotFound(err):
		return "queue_not_found"
	case errors.IsQueueNotEmpty(err):
		return "queue_not_empty"
	case errors.IsTaskNotFound(err):
		return "task_not_found"
	case errors.IsTaskAlreadyArchived(err):
		return "already_archived"
	}
	if code := errors.CanonicalCode(err); code != errors.Unspecified && code != errors.Unknown {
		return strings.ToLower(code.String())
	}
	return "other"
}
