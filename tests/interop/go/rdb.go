package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/internal/rdb"
	"github.com/hibiken/asynq/internal/timeutil"
	"github.com/redis/go-redis/v9"
)

// broker provides asynq's internal code for Redis, with a clock that the test sets.
func broker(connection asynq.RedisConnOpt, settings json.RawMessage) (verbs, error) {
	if err := decode(settings, &struct{}{}); err != nil {
		return nil, err
	}
	clock := timeutil.NewSimulatedClock(time.Unix(0, 0))
	r := rdb.NewRDB(connection.MakeRedisClient().(redis.UniversalClient))
	r.SetClock(clock)
	known := verbs{}
	for _, some := range []map[string]func(call) (any, error){
		takeIn(r), workOn(r), tidy(r), group(r), present(r), lookAt(r), actOn(r),
	} {
		for name, do := range some {
			known[name] = on(func(c call) (any, error) {
				if !c.Now.IsZero() {
					clock.SetTime(c.Now.Time)
				}
				return do(c)
			})
		}
	}
	return known, nil
}

func takeIn(r *rdb.RDB) map[string]func(call) (any, error) {
	// No verb keeps the message after the call, so each may use a pointer to its copy.
	return map[string]func(call) (any, error){
		"enqueue": func(c call) (any, error) { return done(r.Enqueue(soon(), stored(c))) },
		"enqueue_unique": func(c call) (any, error) {
			return done(r.EnqueueUnique(soon(), stored(c), c.TTL.duration()))
		},
		"schedule": func(c call) (any, error) { return done(r.Schedule(soon(), stored(c), c.At.Time)) },
		"schedule_unique": func(c call) (any, error) {
			return done(r.ScheduleUnique(soon(), stored(c), c.At.Time, c.TTL.duration()))
		},
		"add_to_group": func(c call) (any, error) { return done(r.AddToGroup(soon(), stored(c), c.Group)) },
		"add_to_group_unique": func(c call) (any, error) {
			return done(r.AddToGroupUnique(soon(), stored(c), c.Group, c.TTL.duration()))
		},
	}
}

func workOn(r *rdb.RDB) map[string]func(call) (any, error) {
	return map[string]func(call) (any, error){
		"dequeue": func(c call) (any, error) {
			taken, until, err := r.Dequeue(c.Queues...)
			if err != nil {
				return nil, err
			}
			return map[string]any{"message": messageOf(taken), "expires_at": Moment{until}}, nil
		},
		"done":     func(c call) (any, error) { return done(r.Done(soon(), stored(c))) },
		"complete": func(c call) (any, error) { return done(r.MarkAsComplete(soon(), stored(c))) },
		"requeue":  func(c call) (any, error) { return done(r.Requeue(soon(), stored(c))) },
		"retry": func(c call) (any, error) {
			return done(r.Retry(soon(), stored(c), c.At.Time, c.Error, c.IsFailure))
		},
		"archive":      func(c call) (any, error) { return done(r.Archive(soon(), stored(c), c.Error)) },
		"write_result": func(c call) (any, error) { return r.WriteResult(c.Queue, c.ID, c.Data) },
		"extend_lease": func(c call) (any, error) {
			until, err := r.ExtendLease(c.Queue, c.IDs...)
			return Moment{until}, err
		},
		"cancel": func(c call) (any, error) { return done(r.PublishCancelation(c.ID)) },
	}
}

func tidy(r *rdb.RDB) map[string]func(call) (any, error) {
	return map[string]func(call) (any, error){
		"forward": func(c call) (any, error) { return done(r.ForwardIfReady(c.Queues...)) },
		"expired": func(c call) (any, error) {
			found, err := r.ListLeaseExpired(c.At.Time, c.Queues...)
			return listed(found, err, messageOf)
		},
		"delete_expired_completed": func(c call) (any, error) {
			return done(r.DeleteExpiredCompletedTasks(c.Queue, c.Limit))
		},
		"reclaim_sets": func(c call) (any, error) { return done(r.ReclaimStaleAggregationSets(c.Queue)) },
	}
}

func group(r *rdb.RDB) map[string]func(call) (any, error) {
	return map[string]func(call) (any, error){
		"list_groups": func(c call) (any, error) { return r.ListGroups(c.Queue) },
		"check_group": func(c call) (any, error) {
			return r.AggregationCheck(c.Queue, c.Group, c.At.Time, c.Grace.duration(), c.MaxDelay.duration(), c.MaxSize)
		},
		"read_set": func(c call) (any, error) {
			found, deadline, err := r.ReadAggregationSet(c.Queue, c.Group, c.Set)
			if err != nil {
				return nil, err
			}
			return map[string]any{"messages": each(found, messageOf), "deadline": Moment{deadline}}, nil
		},
		"delete_set": func(c call) (any, error) { return done(r.DeleteAggregationSet(soon(), c.Queue, c.Group, c.Set)) },
	}
}

func present(r *rdb.RDB) map[string]func(call) (any, error) {
	return map[string]func(call) (any, error){
		"write_server": func(c call) (any, error) {
			s := c.Server
			info := &base.ServerInfo{
				Host: s.Host, PID: s.PID, ServerID: s.ServerID, Concurrency: s.Concurrency, Queues: s.Queues,
				StrictPriority: s.StrictPriority, Status: s.Status, Started: s.Started.Time,
				ActiveWorkerCount: s.ActiveWorkerCount,
			}
			workers := each(c.Workers, func(w workerState) *base.WorkerInfo {
				return &base.WorkerInfo{
					Host: w.Host, PID: w.PID, ServerID: w.ServerID, ID: w.ID, Type: w.Type, Payload: w.Payload,
					Queue: w.Queue, Started: w.Started.Time, Deadline: w.Deadline.Time,
				}
			})
			return done(r.WriteServerState(info, workers, c.TTL.duration()))
		},
		"clear_server": func(c call) (any, error) {
			return done(r.ClearServerState(c.Server.Host, c.Server.PID, c.Server.ServerID))
		},
		"write_entries": func(c call) (any, error) {
			entries := each(c.Entries, func(e entryState) *base.SchedulerEntry {
				return &base.SchedulerEntry{
					ID: e.ID, Spec: e.Spec, Type: e.Type, Payload: e.Payload, Opts: e.Options, Next: e.Next.Time,
					Prev: e.Prev.Time,
				}
			})
			return done(r.WriteSchedulerEntries(c.ID, entries, c.TTL.duration()))
		},
		"clear_entries": func(c call) (any, error) { return done(r.ClearSchedulerEntries(c.ID)) },
		"record_event": func(c call) (any, error) {
			event := &base.SchedulerEnqueueEvent{TaskID: c.Message.ID, EnqueuedAt: c.At.Time}
			return done(r.RecordSchedulerEnqueueEvent(c.ID, event))
		},
		"clear_history": func(c call) (any, error) { return done(r.ClearSchedulerHistory(c.ID)) },
	}
}

func lookAt(r *rdb.RDB) map[string]func(call) (any, error) {
	return map[string]func(call) (any, error){
		"queues": func(call) (any, error) { return r.AllQueues() },
		"stats": func(c call) (any, error) {
			s, err := r.CurrentStats(c.Queue)
			if err != nil {
				return nil, err
			}
			return queueInfo{
				s.Queue, s.MemoryUsage, seconds(s.Latency), s.Size, s.Groups, s.Pending, s.Active, s.Scheduled, s.Retry,
				s.Archived, s.Completed, s.Aggregating, s.Processed, s.Failed, s.ProcessedTotal, s.FailedTotal, s.Paused,
				Moment{s.Timestamp},
			}, nil
		},
		"history": func(c call) (any, error) {
			days, err := r.HistoricalStats(c.Queue, c.Days)
			return listed(days, err, func(day *rdb.DailyStats) dailyStats {
				return dailyStats{day.Queue, day.Processed, day.Failed, day.Time.UTC().Format(time.DateOnly)}
			})
		},
		"groups": func(c call) (any, error) {
			groups, err := r.GroupStats(c.Queue)
			return listed(groups, err, func(g *rdb.GroupStat) groupInfo { return groupInfo{g.Group, g.Size} })
		},
		"task": func(c call) (any, error) {
			found, err := r.GetTaskInfo(c.Queue, c.ID)
			if err != nil {
				return nil, err
			}
			return storedOf(found), nil
		},
		"tasks": func(c call) (any, error) {
			found, err := map[string]func() ([]*base.TaskInfo, error){
				"pending":     func() ([]*base.TaskInfo, error) { return r.ListPending(c.Queue, c.pages()) },
				"active":      func() ([]*base.TaskInfo, error) { return r.ListActive(c.Queue, c.pages()) },
				"scheduled":   func() ([]*base.TaskInfo, error) { return r.ListScheduled(c.Queue, c.pages()) },
				"retry":       func() ([]*base.TaskInfo, error) { return r.ListRetry(c.Queue, c.pages()) },
				"archived":    func() ([]*base.TaskInfo, error) { return r.ListArchived(c.Queue, c.pages()) },
				"completed":   func() ([]*base.TaskInfo, error) { return r.ListCompleted(c.Queue, c.pages()) },
				"aggregating": func() ([]*base.TaskInfo, error) { return r.ListAggregating(c.Queue, c.Group, c.pages()) },
			}[c.State]()
			return listed(found, err, storedOf)
		},
	}
}

func actOn(r *rdb.RDB) map[string]func(call) (any, error) {
	return map[string]func(call) (any, error){
		"pause":          func(c call) (any, error) { return done(r.Pause(c.Queue)) },
		"unpause":        func(c call) (any, error) { return done(r.Unpause(c.Queue)) },
		"remove_queue":   func(c call) (any, error) { return done(r.RemoveQueue(c.Queue, c.Force)) },
		"run_task":       func(c call) (any, error) { return done(r.RunTask(c.Queue, c.ID)) },
		"archive_task":   func(c call) (any, error) { return done(r.ArchiveTask(c.Queue, c.ID)) },
		"delete_task":    func(c call) (any, error) { return done(r.DeleteTask(c.Queue, c.ID)) },
		"update_payload": func(c call) (any, error) { return done(r.UpdateTaskPayload(c.Queue, c.ID, c.Data)) },
		"run_all": func(c call) (any, error) {
			return map[string]func() (int64, error){
				"scheduled":   func() (int64, error) { return r.RunAllScheduledTasks(c.Queue) },
				"retry":       func() (int64, error) { return r.RunAllRetryTasks(c.Queue) },
				"archived":    func() (int64, error) { return r.RunAllArchivedTasks(c.Queue) },
				"aggregating": func() (int64, error) { return r.RunAllAggregatingTasks(c.Queue, c.Group) },
			}[c.State]()
		},
		"archive_all": func(c call) (any, error) {
			return map[string]func() (int64, error){
				"pending":     func() (int64, error) { return r.ArchiveAllPendingTasks(c.Queue) },
				"scheduled":   func() (int64, error) { return r.ArchiveAllScheduledTasks(c.Queue) },
				"retry":       func() (int64, error) { return r.ArchiveAllRetryTasks(c.Queue) },
				"aggregating": func() (int64, error) { return r.ArchiveAllAggregatingTasks(c.Queue, c.Group) },
			}[c.State]()
		},
		"delete_all": func(c call) (any, error) {
			return map[string]func() (int64, error){
				"pending":     func() (int64, error) { return r.DeleteAllPendingTasks(c.Queue) },
				"scheduled":   func() (int64, error) { return r.DeleteAllScheduledTasks(c.Queue) },
				"retry":       func() (int64, error) { return r.DeleteAllRetryTasks(c.Queue) },
				"archived":    func() (int64, error) { return r.DeleteAllArchivedTasks(c.Queue) },
				"completed":   func() (int64, error) { return r.DeleteAllCompletedTasks(c.Queue) },
				"aggregating": func() (int64, error) { return r.DeleteAllAggregatingTasks(c.Queue, c.Group) },
			}[c.State]()
		},
	}
}

// soon is a context with a short timeout.
func soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	time.AfterFunc(10*time.Second, cancel)
	return ctx
}
