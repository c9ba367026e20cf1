package main

import (
	"encoding/json"

	"github.com/hibiken/asynq"
)

// client enqueues.
func client(connection asynq.RedisConnOpt, settings json.RawMessage) (verbs, error) {
	if err := decode(settings, &struct{}{}); err != nil {
		return nil, err
	}
	client := asynq.NewClient(connection)
	enqueue := func(given newTask) (any, error) {
		info, err := client.Enqueue(given.task(), given.options()...)
		if err != nil {
			return nil, err
		}
		return infoOf(info), nil
	}
	return verbs{
		"enqueue": on(enqueue),
		// Lets a test enqueue many tasks with one request.
		"enqueue_many": on(func(with struct {
			Tasks []newTask `json:"tasks"`
		}) (any, error) {
			answers := []any{}
			for _, given := range with.Tasks {
				info, err := enqueue(given)
				if err != nil {
					info = map[string]any{"error": problem{kind(err), err.Error()}}
				}
				answers = append(answers, info)
			}
			return answers, nil
		}),
	}, nil
}
