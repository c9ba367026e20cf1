// A peer that runs Go asynq 0.21, the last version whose running tasks are in `asynq:{q}:deadlines`.
//
//	old server <redis URI>
//
// It enqueues one task "slow" with a timeout of 30 minutes, and handles it until it receives a line on standard input.
// Events are lines of JSON on standard output: ready, started, ended. Logs go to standard error.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/hibiken/asynq"
)

func main() {
	if len(os.Args) < 3 || os.Args[1] != "server" {
		fail(fmt.Errorf("usage: old server <redis URI>"))
	}
	connection, err := asynq.ParseRedisURI(os.Args[2])
	if err != nil {
		fail(err)
	}
	client := asynq.NewClient(connection)
	if _, err := client.Enqueue(asynq.NewTask("slow", nil), asynq.TaskID("slow")); err != nil {
		fail(err)
	}
	release := make(chan struct{})
	server := asynq.NewServer(connection, asynq.Config{Concurrency: 1})
	fmt.Println(`{"event": "ready"}`)
	err = server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		fmt.Println(`{"event": "started"}`)
		select {
		case <-release:
			fmt.Println(`{"event": "ended"}`)
		case <-ctx.Done():
			fmt.Println(`{"event": "cancelled"}`)
		}
		return ctx.Err()
	}))
	if err != nil {
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	if lines.Scan() {
		close(release)
	}
	for lines.Scan() {
	}
	server.Shutdown()
	fmt.Println(`{"event": "closed"}`)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
