// The Go program of the comparison: asynq in its usual configuration, run by `python -m benchmarks.redis`.
//
//	bench put  '{"url": …, "count": 1000, "callers": 50, "payload": "…"}'   prints tasks per second
//	bench work '{"url": …, "slots": 50, "samples": FILE, "handler": "mark"}' prints "ready", starts on a line
//	bench send '{"url": …, "count": 100, "samples": FILE, "pause": [0.01, 0.05]}' enqueues tasks for the handler "age"
//
// Handlers append eight bytes to the sample file: the time of the run, or the age of the task in seconds.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"math/rand"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

type arguments struct {
	URL       string     `json:"url"`
	Count     int        `json:"count"`
	Callers   int        `json:"callers"`
	Slots     int        `json:"slots"`
	Payload   string     `json:"payload"`
	Retention float64    `json:"retention"`
	Samples   string     `json:"samples"`
	Handler   string     `json:"handler"`
	Pause     [2]float64 `json:"pause"`
}

func main() {
	log.SetFlags(0)
	var args arguments
	check(json.Unmarshal([]byte(os.Args[2]), &args))
	switch os.Args[1] {
	case "put":
		put(args)
	case "work":
		work(args)
	case "send":
		send(args)
	default:
		log.Fatalf("unknown command: %s", os.Args[1])
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// connection has one socket per concurrent user, so that no user waits for a socket.
func connection(args arguments, users int) asynq.RedisClientOpt {
	parsed, err := asynq.ParseRedisURI(args.URL)
	check(err)
	opt := parsed.(asynq.RedisClientOpt)
	opt.PoolSize = max(20, users+10)
	return opt
}

func put(args arguments) {
	client := asynq.NewClient(connection(args, args.Callers))
	defer client.Close()
	warmUp(client, args.Callers)
	var options []asynq.Option
	if args.Retention > 0 {
		options = append(options, asynq.Retention(time.Duration(args.Retention*float64(time.Second))))
	}
	var left atomic.Int64
	left.Store(int64(args.Count))
	var callers sync.WaitGroup
	began := time.Now()
	for range args.Callers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for left.Add(-1) >= 0 {
				_, err := client.Enqueue(asynq.NewTask("bench:noop", []byte(args.Payload)), options...)
				check(err)
			}
		}()
	}
	callers.Wait()
	fmt.Println(float64(args.Count) / time.Since(began).Seconds())
}

// warmUp opens all connections before the measurement starts.
func warmUp(client *asynq.Client, users int) {
	var all sync.WaitGroup
	for range users {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 5 {
				check(client.Ping())
			}
		}()
	}
	all.Wait()
}

func now() float64 { return float64(time.Now().UnixNano()) / 1e9 }

func work(args arguments) {
	samples, err := os.OpenFile(args.Samples, os.O_APPEND|os.O_WRONLY, 0)
	check(err)
	write := func(value float64) {
		var bytes [8]byte
		binary.LittleEndian.PutUint64(bytes[:], math.Float64bits(value))
		_, err := samples.Write(bytes[:])
		check(err)
	}
	handlers := map[string]asynq.HandlerFunc{
		"mark": func(context.Context, *asynq.Task) error {
			write(now())
			return nil
		},
		"age": func(_ context.Context, task *asynq.Task) error {
			at := now()
			var sent float64
			check(json.Unmarshal(task.Payload(), &sent))
			write(at - sent)
			return nil
		},
		"result": func(_ context.Context, task *asynq.Task) error {
			_, err := task.ResultWriter().Write([]byte(`{"sent":1}`))
			write(now())
			return err
		},
		"fail": func(context.Context, *asynq.Task) error {
			write(now())
			return errors.New("not today")
		},
		"fail once": func(ctx context.Context, _ *asynq.Task) error {
			write(now())
			if retried, _ := asynq.GetRetryCount(ctx); retried == 0 {
				return errors.New("not the first time")
			}
			return nil
		},
	}
	config := asynq.Config{Concurrency: args.Slots, LogLevel: asynq.FatalLevel}
	switch args.Handler {
	case "fail":
		config.RetryDelayFunc = func(int, error, *asynq.Task) time.Duration { return time.Hour }
	case "fail once":
		config.RetryDelayFunc = func(int, error, *asynq.Task) time.Duration { return 0 }
	}
	server := asynq.NewServer(connection(args, args.Slots), config)
	check(server.Ping())
	fmt.Println("ready")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	check(server.Start(handlers[args.Handler]))
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	server.Shutdown()
}

// send enqueues one task at a time, each after the previous one was picked up and a pause.
func send(args arguments) {
	client := asynq.NewClient(connection(args, 1))
	defer client.Close()
	check(client.Ping())
	for sent := range args.Count {
		for pickedUp(args.Samples) < int64(sent) {
			time.Sleep(2 * time.Millisecond)
		}
		pause := args.Pause[0] + rand.Float64()*(args.Pause[1]-args.Pause[0])
		time.Sleep(time.Duration(pause * float64(time.Second)))
		_, err := client.Enqueue(asynq.NewTask("bench:age", fmt.Appendf(nil, "%.7f", now())))
		check(err)
	}
}

func pickedUp(samples string) int64 {
	info, err := os.Stat(samples)
	check(err)
	return info.Size() / 8
}
