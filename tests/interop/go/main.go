// Peers for the tests of asynqio: programs that use Go's asynq, controlled by lines of JSON.
//
//	peer <role> <redis URI> [<settings as JSON>]
//
// Requests come in on standard input, {"id": 1, "do": "verb", "with": {…}}; each is answered on standard output by
// {"id": 1, "ok": …} or {"id": 1, "error": {"kind": …, "text": …}}. Events are lines too:
// {"event": "started", …}. Logs go to standard error. Times are Unix seconds, durations seconds, both with a
// fraction; a missing time is null. Bytes are base64. A peer ends with its standard input, so none outlives its test.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hibiken/asynq"
)

type role func(connection asynq.RedisConnOpt, settings json.RawMessage) (verbs, error)

var roles = map[string]role{
	"client":    client,
	"server":    server,
	"scheduler": scheduler,
	"inspector": inspector,
	"rdb":       broker,
	"cron":      schedules,
}

func main() {
	if len(os.Args) < 3 || roles[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: peer client|server|scheduler|inspector|rdb|cron <redis URI> [<settings>]"))
	}
	connection, err := asynq.ParseRedisURI(os.Args[2])
	if err != nil {
		fail(err)
	}
	settings := json.RawMessage("{}")
	if len(os.Args) > 3 {
		settings = json.RawMessage(os.Args[3])
	}
	known, err := roles[os.Args[1]](connection, settings)
	if err != nil {
		fail(err)
	}
	say(map[string]any{"event": "ready", "pid": os.Getpid()})
	serve(os.Stdin, known)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
