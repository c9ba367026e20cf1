package main

import (
	"strings"

	"github.com/hibiken/asynq"
)

// taskInfo is every field of asynq.TaskInfo.
type taskInfo struct {
	ID            string            `json:"id"`
	Queue         string            `json:"queue"`
	Type          string            `json:"type"`
	Payload       []byte            `json:"payload"`
	Headers       map[string]string `json:"headers"`
	State         string            `json:"state"`
	MaxRetry      int               `json:"max_retry"`
	Retried       int               `json:"retried"`
	LastErr       string            `json:"last_err"`
	LastFailedAt  Moment            `json:"last_failed_at"`
	Timeout       Seconds           `json:"timeout"`
	Deadline      Moment            `json:"deadline"`
	Group         string            `json:"group"`
	NextProcessAt Moment            `json:"next_process_at"`
	IsOrphaned    bool              `json:"is_orphaned"`
	Retention     Seconds           `json:"retention"`
	CompletedAt   Moment            `json:"completed_at"`
	Result        []byte            `json:"result"`
}

func infoOf(task *asynq.TaskInfo) taskInfo {
	return taskInfo{
		ID:            task.ID,
		Queue:         task.Queue,
		Type:          task.Type,
		Payload:       task.Payload,
		Headers:       task.Headers,
		State:         task.State.String(),
		MaxRetry:      task.MaxRetry,
		Retried:       task.Retried,
		LastErr:       task.LastErr,
		LastFailedAt:  Moment{task.LastFailedAt},
		Timeout:       seconds(task.Timeout),
		Deadline:      Moment{task.Deadline},
		Group:         task.Group,
		NextProcessAt: Moment{task.NextProcessAt},
		IsOrphaned:    task.IsOrphaned,
		Retention:     seconds(task.Retention),
		CompletedAt:   Moment{task.CompletedAt},
		Result:        task.Result,
	}
}

// newTask is a task to enqueue with all options. Missing options are not passed to asynq.
type newTask struct {
	Type      string            `json:"type"`
	Payload   []byte            `json:"payload"` // null is nil, "" is empty: their locks differ
	Headers   map[string]string `json:"headers"`
	Queue     *string           `json:"queue"`
	MaxRetry  *int              `json:"max_retry"`
	Timeout   *Seconds          `json:"timeout"`
	Deadline  *Moment           `json:"deadline"`
	ProcessAt *Moment           `json:"process_at"`
	ProcessIn *Seconds          `json:"process_in"`
	Unique    *Seconds          `json:"unique"`
	Retention *Seconds          `json:"retention"`
	TaskID    *string           `json:"task_id"`
	Group     *string           `json:"group"`
}

func (t newTask) task() *asynq.Task {
	if t.Headers == nil {
		return asynq.NewTask(t.Type, t.Payload)
	}
	return asynq.NewTaskWithHeaders(t.Type, t.Payload, t.Headers)
}

func (t newTask) options() []asynq.Option {
	var given []asynq.Option
	add := func(option asynq.Option) { given = append(given, option) }
	if t.Queue != nil {
		add(asynq.Queue(*t.Queue))
	}
	if t.MaxRetry != nil {
		add(asynq.MaxRetry(*t.MaxRetry))
	}
	if t.Timeout != nil {
		add(asynq.Timeout(t.Timeout.duration()))
	}
	if t.Deadline != nil {
		add(asynq.Deadline(t.Deadline.Time))
	}
	if t.ProcessAt != nil {
		add(asynq.ProcessAt(t.ProcessAt.Time))
	}
	if t.ProcessIn != nil {
		add(asynq.ProcessIn(t.ProcessIn.duration()))
	}
	if t.Unique != nil {
		add(asynq.Unique(t.Unique.duration()))
	}
	if t.Retention != nil {
		add(asynq.Retention(t.Retention.duration()))
	}
	if t.TaskID != nil {
		add(asynq.TaskID(*t.TaskID))
	}
	if t.Group != nil {
		add(asynq.Group(*t.Group))
	}
	return given
}

// optionTexts formats options as a scheduler does.
func optionTexts(options []asynq.Option) []string {
	texts := []string{}
	for _, option := range options {
		texts = append(texts, option.String())
	}
	return texts
}

// word splits a task type into its first word and the rest: "sleep" and "500" of "sleep:500".
func word(taskType string) (string, string) {
	first, rest, _ := strings.Cut(taskType, ":")
	return first, rest
}
