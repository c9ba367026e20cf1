package main

import (
	"encoding/json"
	"time"

	"github.com/hibiken/asynq"
)

type schedulerSettings struct {
	Location  string  `json:"location"`
	Heartbeat Seconds `json:"heartbeat"` // whole seconds, as Redis requires for an expiry
}

// scheduler enqueues by cron spec from "start" until "shutdown" or the end of its input.
func scheduler(connection asynq.RedisConnOpt, settings json.RawMessage) (verbs, error) {
	given := schedulerSettings{Location: "UTC"}
	if err := decode(settings, &given); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(given.Location)
	if err != nil {
		return nil, err
	}
	scheduler := asynq.NewScheduler(connection, &asynq.SchedulerOpts{
		Location:          zone,
		HeartbeatInterval: given.Heartbeat.duration(),
		PostEnqueueFunc:   reportEnqueued,
	})
	return verbs{
		"register": on(func(with struct {
			Spec string  `json:"spec"`
			Task newTask `json:"task"`
		}) (any, error) {
			return scheduler.Register(with.Spec, with.Task.task(), with.Task.options()...)
		}),
		"unregister": on(func(with struct {
			Entry string `json:"entry"`
		}) (any, error) {
			return true, scheduler.Unregister(with.Entry)
		}),
		"start": on(func(struct{}) (any, error) { return true, scheduler.Start() }),
		"shutdown": on(func(struct{}) (any, error) {
			scheduler.Shutdown()
			return true, nil
		}),
	}, nil
}

func reportEnqueued(info *asynq.TaskInfo, err error) {
	if err != nil {
		say(map[string]any{"event": "refused", "error": problem{kind(err), err.Error()}})
		return
	}
	say(map[string]any{"event": "enqueued", "task": infoOf(info)})
}
