package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

type queueInfo struct {
	Queue          string  `json:"queue"`
	MemoryUsage    int64   `json:"memory_usage"`
	Latency        Seconds `json:"latency"`
	Size           int     `json:"size"`
	Groups         int     `json:"groups"`
	Pending        int     `json:"pending"`
	Active         int     `json:"active"`
	Scheduled      int     `json:"scheduled"`
	Retry          int     `json:"retry"`
	Archived       int     `json:"archived"`
	Completed      int     `json:"completed"`
	Aggregating    int     `json:"aggregating"`
	Processed      int     `json:"processed"`
	Failed         int     `json:"failed"`
	ProcessedTotal int     `json:"processed_total"`
	FailedTotal    int     `json:"failed_total"`
	Paused         bool    `json:"paused"`
	Timestamp      Moment  `json:"timestamp"`
}

type dailyStats struct {
	Queue     string `json:"queue"`
	Processed int    `json:"processed"`
	Failed    int    `json:"failed"`
	Day       string `json:"day"` // UTC
}

type groupInfo struct {
	Group string `json:"group"`
	Size  int    `json:"size"`
}

type workerInfo struct {
	TaskID      string `json:"task_id"`
	TaskType    string `json:"task_type"`
	TaskPayload []byte `json:"task_payload"`
	Queue       string `json:"queue"`
	Started     Moment `json:"started"`
	Deadline    Moment `json:"deadline"`
}

type serverInfo struct {
	ID            string         `json:"id"`
	Host          string         `json:"host"`
	PID           int            `json:"pid"`
	Concurrency   int            `json:"concurrency"`
	Queues        map[string]int `json:"queues"`
	Strict        bool           `json:"strict"`
	Started       Moment         `json:"started"`
	Status        string         `json:"status"`
	ActiveWorkers []workerInfo   `json:"active_workers"`
}

type schedulerEntry struct {
	ID      string   `json:"id"`
	Spec    string   `json:"spec"`
	Type    string   `json:"type"`
	Payload []byte   `json:"payload"`
	Options []string `json:"options"`
	Next    Moment   `json:"next"`
	Prev    Moment   `json:"prev"`
}

type enqueueEvent struct {
	TaskID     string `json:"task_id"`
	EnqueuedAt Moment `json:"enqueued_at"`
}

// where contains the arguments of all verbs; each verb uses some of them.
type where struct {
	Queue   string `json:"queue"`
	State   string `json:"state"`
	Group   string `json:"group"`
	ID      string `json:"id"`
	Size    *int   `json:"size"`
	Page    *int   `json:"page"`
	Days    int    `json:"days"`
	Payload []byte `json:"payload"`
	Force   bool   `json:"force"`
}

func (w where) paging() []asynq.ListOption {
	var given []asynq.ListOption
	if w.Size != nil {
		given = append(given, asynq.PageSize(*w.Size))
	}
	if w.Page != nil {
		given = append(given, asynq.Page(*w.Page))
	}
	return given
}

func each[A, B any](items []A, convert func(A) B) []B {
	converted := []B{}
	for _, item := range items {
		converted = append(converted, convert(item))
	}
	return converted
}

// listed converts a list of asynq to its wire format.
func listed[A, B any](items []A, err error, convert func(A) B) (any, error) {
	if err != nil {
		return nil, err
	}
	return each(items, convert), nil
}

// done is the answer of verbs without a result.
func done(err error) (any, error) {
	return true, err
}

// inspector provides all methods of asynq's Inspector.
func inspector(connection asynq.RedisConnOpt, settings json.RawMessage) (verbs, error) {
	if err := decode(settings, &struct{}{}); err != nil {
		return nil, err
	}
	i := asynq.NewInspector(connection)
	known := verbs{
		"queues": on(func(where) (any, error) { return i.Queues() }),
		"queue":  on(func(w where) (any, error) { return describeQueue(i, w) }),
		"history": on(func(w where) (any, error) {
			days, err := i.History(w.Queue, w.Days)
			return listed(days, err, func(day *asynq.DailyStats) dailyStats {
				return dailyStats{day.Queue, day.Processed, day.Failed, day.Date.UTC().Format(time.DateOnly)}
			})
		}),
		"groups": on(func(w where) (any, error) {
			groups, err := i.Groups(w.Queue)
			return listed(groups, err, func(group *asynq.GroupInfo) groupInfo {
				return groupInfo{group.Group, group.Size}
			})
		}),
		"task": on(func(w where) (any, error) {
			task, err := i.GetTaskInfo(w.Queue, w.ID)
			if err != nil {
				return nil, err
			}
			return infoOf(task), nil
		}),
		"tasks":   on(func(w where) (any, error) { return listTasks(i, w) }),
		"servers": on(func(where) (any, error) { return listServers(i) }),
		"entries": on(func(where) (any, error) {
			entries, err := i.SchedulerEntries()
			return listed(entries, err, func(e *asynq.SchedulerEntry) schedulerEntry {
				return schedulerEntry{
					e.ID, e.Spec, e.Task.Type(), e.Task.Payload(), optionTexts(e.Opts), Moment{e.Next}, Moment{e.Prev},
				}
			})
		}),
		"events": on(func(w where) (any, error) {
			events, err := i.ListSchedulerEnqueueEvents(w.ID, w.paging()...)
			return listed(events, err, func(e *asynq.SchedulerEnqueueEvent) enqueueEvent {
				return enqueueEvent{e.TaskID, Moment{e.EnqueuedAt}}
			})
		}),
		"pause":        on(func(w where) (any, error) { return done(i.PauseQueue(w.Queue)) }),
		"unpause":      on(func(w where) (any, error) { return done(i.UnpauseQueue(w.Queue)) }),
		"delete_queue": on(func(w where) (any, error) { return done(i.DeleteQueue(w.Queue, w.Force)) }),
		"run":          on(func(w where) (any, error) { return done(i.RunTask(w.Queue, w.ID)) }),
		"archive":      on(func(w where) (any, error) { return done(i.ArchiveTask(w.Queue, w.ID)) }),
		"delete":       on(func(w where) (any, error) { return done(i.DeleteTask(w.Queue, w.ID)) }),
		"cancel":       on(func(w where) (any, error) { return done(i.CancelProcessing(w.ID)) }),
		"update_payload": on(func(w where) (any, error) {
			return done(i.UpdateTaskPayload(w.Queue, w.ID, w.Payload))
		}),
		"run_all": all(map[string]func(string) (int, error){
			"scheduled": i.RunAllScheduledTasks,
			"retry":     i.RunAllRetryTasks,
			"archived":  i.RunAllArchivedTasks,
		}, i.RunAllAggregatingTasks),
		"archive_all": all(map[string]func(string) (int, error){
			"pending":   i.ArchiveAllPendingTasks,
			"scheduled": i.ArchiveAllScheduledTasks,
			"retry":     i.ArchiveAllRetryTasks,
		}, i.ArchiveAllAggregatingTasks),
		"delete_all": all(map[string]func(string) (int, error){
			"pending":   i.DeleteAllPendingTasks,
			"scheduled": i.DeleteAllScheduledTasks,
			"retry":     i.DeleteAllRetryTasks,
			"archived":  i.DeleteAllArchivedTasks,
			"completed": i.DeleteAllCompletedTasks,
		}, i.DeleteAllAggregatingTasks),
	}
	return known, nil
}

// all is a verb for all tasks in a state; its answer is their number.
func all(byState map[string]func(string) (int, error), ofGroup func(string, string) (int, error)) verb {
	return on(func(w where) (any, error) {
		if w.State == "aggregating" {
			return ofGroup(w.Queue, w.Group)
		}
		act := byState[w.State]
		if act == nil {
			return nil, fmt.Errorf("asynq has no such verb for state %q", w.State)
		}
		return act(w.Queue)
	})
}

func describeQueue(i *asynq.Inspector, w where) (any, error) {
	q, err := i.GetQueueInfo(w.Queue)
	if err != nil {
		return nil, err
	}
	return queueInfo{
		Queue:          q.Queue,
		MemoryUsage:    q.MemoryUsage,
		Latency:        seconds(q.Latency),
		Size:           q.Size,
		Groups:         q.Groups,
		Pending:        q.Pending,
		Active:         q.Active,
		Scheduled:      q.Scheduled,
		Retry:          q.Retry,
		Archived:       q.Archived,
		Completed:      q.Completed,
		Aggregating:    q.Aggregating,
		Processed:      q.Processed,
		Failed:         q.Failed,
		ProcessedTotal: q.ProcessedTotal,
		FailedTotal:    q.FailedTotal,
		Paused:         q.Paused,
		Timestamp:      Moment{q.Timestamp},
	}, nil
}

func listTasks(i *asynq.Inspector, w where) (any, error) {
	if w.State == "aggregating" {
		tasks, err := i.ListAggregatingTasks(w.Queue, w.Group, w.paging()...)
		return listed(tasks, err, infoOf)
	}
	list := map[string]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		"pending":   i.ListPendingTasks,
		"active":    i.ListActiveTasks,
		"scheduled": i.ListScheduledTasks,
		"retry":     i.ListRetryTasks,
		"archived":  i.ListArchivedTasks,
		"completed": i.ListCompletedTasks,
	}[w.State]
	if list == nil {
		return nil, fmt.Errorf("unknown state %q", w.State)
	}
	tasks, err := list(w.Queue, w.paging()...)
	return listed(tasks, err, infoOf)
}

func listServers(i *asynq.Inspector) (any, error) {
	servers, err := i.Servers()
	return listed(servers, err, func(s *asynq.ServerInfo) serverInfo {
		return serverInfo{
			ID:          s.ID,
			Host:        s.Host,
			PID:         s.PID,
			Concurrency: s.Concurrency,
			Queues:      s.Queues,
			Strict:      s.StrictPriority,
			Started:     Moment{s.Started},
			Status:      s.Status,
			ActiveWorkers: each(s.ActiveWorkers, func(w *asynq.WorkerInfo) workerInfo {
				return workerInfo{w.TaskID, w.TaskType, w.TaskPayload, w.Queue, Moment{w.Started}, Moment{w.Deadline}}
			}),
		}
	})
}
