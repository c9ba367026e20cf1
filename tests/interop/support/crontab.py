"""The schedules that are compared with Go.

`python -m tests.interop.support.crontab` writes the answers to the data files.

The files tests/unit/data/cron.json and durations.json let the unit tests compare asynqio with Go without running Go.
Both use the time zones of this machine. With another release of the zone data, a row can differ only if the history
of its zone was changed, because all instants are in the past.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.interop.support.build import programs
from tests.interop.support.peers import GoCron
from tests.schedules import CRON_TABLE, DURATION_TABLE, Firing, Row


def at(text: str) -> float:
    """Epoch seconds of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


#: All elements of the grammar, from instants at boundaries of minutes, months, years and leap days.
GRAMMAR = """
* * * * *|? ? ? ? ?|*/1 */1 */1 */1 */1|5 * * * *|0 0 * * *|59 23 31 12 *|0 12 1 1 *|30 9 * * *
0,30 * * * *|0,15,30,45 9-17 * * *|10-20 * * * *|10-20/3 * * * *|*/7 * * * *|?/7 * * * *|5/20 * * * *|58/5 * * * *
0 */5 * * *|0 2/7 * * *|0 0 */10 * *|0 0 29/2 * *|0 0 1 */5 *|0 0 1 11/1 *|0 0 * * */3|0 0 * * 4/1|0/1 0/1 * * *
*/59 * * * *|*/60 * * * *|*/9223372036854775807 * * * *|7-9/100 * * * *|10-10 3-3 * * *|1,1,1 1,1 * * *
1-5,3-9/2,50 * * * *|,5,,10, * * * *|+5 +0 +1 +2 *|007 00 01 * *|05 4 3 2 1|*/010 * * * *
0 0 1 jan *|0 0 1 JAN,Apr,jUl *|0 0 1 feb-may *|0 0 1 oct-12/2 *|0 0 1 nov/1 *|0 0 * * sun|0 0 * * MON-fri
0 0 * * tue,Thu,6|0 0 * * sat/1|0 0 * * 0-6/2|0 0 * * mon-sat/2|0 0 1 dec wed
0 0 13 * fri|0 0 1,15 * mon|0 0 */2 * mon|0 0 */1 * mon|0 0 13 * */2|0 0 13 * */1|0 0 13 * ?|0 0 ? * 5|0 0 1-31 * 1
0 0 *,13 * fri|0 0 13 * *,5|0 0 */2,* * fri|0 0 13 * 0-6|0 0 13-13 * 1-1|0 0 */2 * */2|0 0 31 * */2
0 0 29 2 *|0 0 29 2 mon|0 0 29 feb ?|0 0 29 2 */2|0 0 30 2 *|0 0 31 2 *|0 0 30,31 2 *|0 0 31 2,4,6,9,11 *|0 0 31 4 sun
0 0 31 * *|0 0 30 * *|0 0 29-31 * *|0 0 28-31 2 *|59 23 28 2 *|0 0 31 */2 *|0 0 31 1-12/5 *
, 0 1 * *|0 0 , * *|0 0 , * 1|0 0 1 * ,|0 0 , * ,|0 0 * , *|0 0 ,,, * 2
*-5 * * * *|*-x * * * *|?-*-/2 * * * *|0 0 *-1-2 * 3
"""
DESCRIPTORS = """
@yearly|@annually|@monthly|@weekly|@daily|@midnight|@hourly
@every 1s|@every 90s|@every 1h|@every 1h30m|@every 24h|@every 1.5s|@every 1.999999999s|@every 999ms|@every 1ns
@every 0|@every -5m|@every +5m|@every 0.5h|@every .5m|@every 1.m|@every 1500ms|@every 2000000us
@every 2000000µs|@every 2000000μs|@every 3000000000ns|@every 1h1m1s1ms1us1ns|@every 1s1s
@every 87600h|@every 2562047h47m16s
"""
PREFIXES = """
TZ=UTC 0 5 * * *|CRON_TZ=UTC 0 5 * * *|TZ=America/New_York 0 5 * * *|CRON_TZ=Asia/Tokyo 0 5 * * *|TZ= 0 5 * * *
TZ=Local 0 5 * * *|TZ=Asia/Kathmandu @daily|CRON_TZ=Australia/Eucla @hourly|TZ=Asia/Tokyo @every 1h
TZ=Asia/Tokyo   @weekly|TZ=Etc/GMT+5 0 0 * * *|TZ=EST5EDT 0 0 * * *|CRON_TZ=Europe/Berlin 0 0 1 1 ?
"""
#: White space and letters that not all languages recognise.
ODD = [
    " 5 4 * * * ",
    "5  4\t*\n*\r*",
    "5\x0b4\x0c*\x85*\xa0*",
    "5\u16804\u2003*\u3000*\u205f*",
    "TZ=Asia/Tokyo \t5 4 * * *\t",
    "TZ=Asia/Tokyo \u2009@daily \u2029",
    "TZ=Asia/Tokyo  0 0 1 * *",
]
INSTANTS = ["2023-12-31T23:59:59.5", "2024-02-28T10:34:56", "2025-06-15T00:00:00"]

#: Specs that Go rejects or crashes on.
REFUSED = """
*|* * * *|* * * * * *|0 0 0 1 1 *|* * * * * 2024|never|5 4 * * *;|60 * * * *|-1 * * * *|* 24 * * *|* * 0 * *
* * 32 * *|* * * 0 *|* * * 13 *|* * * * 7|* * * * sun-7|* * * * 5-1|* * * * sat-sun|* * * nov-feb *
30-10 * * * *|* 0-24 * * *|1-2-3 * * * *|1--2 * * * *|1- * * * *|- * * * *|-5-10 * * * *|5-* * * * *|*5 * * * *
*/0 * * * *|*/-1 * * * *|*/ * * * *|/5 * * * *|*/5/5 * * * *|5/0 * * * *|1-5/0 * * * *|*/+0 * * * *
*/1.5 * * * *|*/x * * * *|*/9223372036854775808 * * * *|*/1e3 * * * *|5.0 * * * *|0x5 * * * *|1_0 * * * *
++5 * * * *|5+ * * * *|18446744073709551621 * * * *|99999999999999999999999999 * * * *|5h * * * *|a * * * *
jan * * * *|* * jan * *|* * * sun *|* * * * jan|* * * january *|* * * * sunday|* * * * mo|* * * jan/x *
0 0 */2-x * *|* * L * *|* * LW * *|* * 15W * *|* * * * 5L|* * * * 5#3|* * * * mon#1|H * * * *|~ * * * *
** * * * *|*/* * * * *
?? * * * *|*,60 * * * *|1, 2 * * * *|1 ,2 * * * *|; * * * *|@|@reboot|@Daily|@DAILY|@dailyx|@yearly 5
@weekly@daily|@every_minute|@every|@every  5s|@every 5|@every s|@every 5x|@every 1d|@every 1w|@every 5S
@every 5 s|@every 1h 30m|@every .s|@every .|@every -|@every --5s|@every 5s-3s|@every 1:30|@every 1e3s
@every 0x5s|@every 9223372036854775808ns|@every 2562048h|TZ=UTC|TZ=|CRON_TZ=|CRON_TZ=UTC@daily
TZ=UTC TZ=UTC 0 0 * * *|TZ=Nowhere/Land 0 0 * * *|TZ=europe/berlin 0 0 * * *|TZ=utc 0 0 * * *
TZ=Europe 0 0 * * *|TZ=Europe/ 0 0 * * *|TZ=/Europe/Berlin 0 0 * * *|TZ=../../etc/passwd 0 0 * * *
TZ=Europe/../UTC 0 0 * * *|TZ=.. 0 0 * * *|TZ=/etc/localtime 0 0 * * *|TZ=zone.tab 0 0 * * *|TZ='UTC' 0 0 * * *
TZ=+02:00 0 0 * * *|TZ=local 0 0 * * *|tz=UTC 0 0 * * *|CRON_TZ=UTC 0 0 * *|TZ=UTC @reboot|cron_tz=UTC 0 0 * * *
"""
ODD_REFUSED = [
    "",
    " ",
    "\t",
    "\u0665 * * * *",
    "\uff15 * * * *",
    "\u00b2 * * * *",
    "5\u00004 * * * *",
    "5\u001c4 * * * *",
    "5\u200b 4 * * *",
    "\ufeff5 4 * * *",
    "5\u180e4 * * *",
    "@daily ",
    " @daily",
    "@every ",
    "@every 5s ",
    "@every \u221e",
    "TZ=UTC ",
    "TZ= ",
    "TZ=UTC\t0 0 * * *",
    "TZ=\\Europe 0 0 * * *",
    " TZ=UTC 0 0 * * *",
    "TZ=Europe\u0000/Berlin 0 0 * * *",
]

#: Zones, and instants of their clock changes.
JUMPS = {
    "America/New_York": ["2024-03-10T07:00", "2024-11-03T06:00"],
    "Europe/Berlin": ["2024-03-31T01:00", "2024-10-27T01:00"],
    "Europe/Dublin": ["2024-03-31T01:00", "2024-10-27T01:00"],
    # By half an hour.
    "Australia/Lord_Howe": ["2023-09-30T15:30", "2024-04-06T15:00"],
    "Asia/Pyongyang": ["2018-05-04T15:00"],
    # At midnight, and on the first of a month.
    "America/Sao_Paulo": ["2018-02-18T02:00", "2018-11-04T03:00"],
    "America/Havana": ["2024-03-10T05:00", "2024-11-03T05:00"],
    "Asia/Beirut": ["2022-03-26T22:00", "2022-10-29T21:00"],
    "Africa/Cairo": ["2023-04-27T22:00"],
    "Atlantic/Azores": ["2024-03-31T01:00"],
    "America/Asuncion": ["2017-10-01T04:00"],
    "Asia/Damascus": ["2004-03-31T22:00"],
    # With quarters of an hour.
    "Pacific/Chatham": ["2023-09-23T14:00", "2024-04-06T14:00"],
}
#: Zones that skipped a day (30 December 2011, 31 December 1994), so that some searches of Go do not end. They
#: occupy a processor, so they come last.
ENDLESS = {"Pacific/Apia": ["2011-12-30T10:00"], "Pacific/Kiritimati": ["1994-12-31T10:00"]}
#: Specs around a clock change; {day} is its day in UTC, {month} its month.
AROUND = """
*/30 * * * *|0 0 * * *|0 2 * * *|30 2 * * *|15 1 * * *|0 3 * * *|30 1-3 * * *|0 */2 * * *|59 23 * * *|@every 90m
0 0 * * sun|0 12 {day} {month} *
"""
#: Cases in which Go's answer is not later than the start: clocks went back over midnight, by two hours, by a day.
BACK = [
    Firing("31-55 */13 * * *", "America/Goose_Bay", at("2001-10-28T03:29:03"), 3),
    Firing("0 1 * * *", "America/Juneau", at("1983-10-30T09:30"), 3),
    Firing("0 6 * * *", "Pacific/Kwajalein", at("1969-09-30T17:30"), 3),
]
#: Durations in addition to those of @every above.
DURATIONS = """
|0|+0|-0|00|0s|-0s|+|-|.|5|s|.s|-.s|1|1ns|1us|1µs|1μs|1ms|1s|1m|1h|1d|1 s| 1s|1s |1S|1µ|µs|-1s|+1s|--1s|1-s|1s-1s
1.5s|1.s|.5s|0.5s|-0.5s|1..5s|1.5.5s|1,5s|100ms|999999999ns|1000000000ns|1000000001ns|1.5us|1500ns|999us|1000us|0.1us|0.1ns|0.9ns
0.0000000001s|0.000000001s|1.0000000019s|0.3333333333333333333h|0.100000000000000000000h|0.9223372036854775807h
0.9223372036854775808h|0.92233720368547758079h|1.999999999999999999999999s|0.830103483285477580700h
1h1m1s1ms1us1ns|1ns1us1ms1s1m1h|1h1h1h|39h9m14.425s|1h30m|90m|60s|3600s|24h|0h0m0s|1h0.5s|12345m|1ms1h
9223372036854775807ns|9223372036854775808ns|-9223372036854775808ns|-9223372036854775809ns|9223372036854775.807us
9223372036s854ms775us807ns|-9223372036s854ms775us808ns|2562047h47m16.854775807s|2562047h47m16.854775808s|2562048h|-2562048h
3000000h|9999999999999999999999h|000000000000000000000000000001s|9223372036854775808h|0.0000000000000000000000000001h
1e3s|0x1s|1_0s|١s|∞|NaNs|infs|1h30|30m1|1hour|1sec|1min|1msec|5µ s|5\u00b5s
"""


def lines(text: str) -> list[str]:
    """The lines of a table above."""
    return text.strip("\n").replace("\n", "|").split("|")


def firings() -> Iterator[Firing]:
    """All queries of the table."""
    for number, spec in enumerate(lines(GRAMMAR) + lines(DESCRIPTORS) + ODD):
        for instant in (INSTANTS[number % 3], INSTANTS[(number + 1) % 3]):
            yield Firing(spec, "UTC", at(instant), 3)
    for spec in lines(PREFIXES):
        yield from (Firing(spec, zone, at(INSTANTS[1]), 3) for zone in ("UTC", "Europe/Berlin"))
    yield from around(JUMPS)
    yield Firing("0 0 * 10 *", "America/Asuncion", at("2017-08-20T00:00"), 3)
    yield Firing("0 0 * 11 *", "America/Asuncion", at("2017-10-15T12:00"), 3)
    yield Firing("0 0 2 3 *", "Asia/Damascus", at("2004-03-15T00:00"), 3)
    # 1900 was not a leap year, and the search ends after the fifth year.
    for instant in ("1896-03-01T00:00", "1898-12-31T23:59:58", "1898-12-31T23:59:59"):
        yield Firing("0 0 29 2 *", "UTC", at(instant), 1)
    yield Firing("0 0 29 2 *", "UTC", at("2096-02-28T00:00"), 2)
    yield Firing("0 0 1 1 *", "Africa/Monrovia", at("1969-06-01T00:00"), 5)  # UTC-0:44:30 until 1972
    yield from (Firing(spec, "UTC", at(INSTANTS[0]), 1) for spec in lines(REFUSED) + ODD_REFUSED)
    yield from random_firings(random.Random(1), 100)
    yield from BACK
    yield from around(ENDLESS)


def around(moves: dict[str, list[str]]) -> Iterator[Firing]:
    """Queries around clock changes."""
    for zone, jumps in moves.items():
        for jump in jumps:
            for spec in lines(AROUND):
                given = spec.format(day=int(jump[8:10]), month=int(jump[5:7]))
                hours = 2 if spec.startswith("*/30") else 40
                yield Firing(given, zone, at(jump) - hours * 3600, 6 if given == spec else 2)


# --- random queries -----------------------------------------------------------------------------------------

#: Limits of the five fields, and the probability that a field is not a star.
_FIELDS = ((0, 59, 1.0), (0, 23, 1.0), (1, 31, 0.5), (1, 12, 0.5), (0, 6, 0.5))
_NAMES = {12: "jan feb mar apr may jun jul aug sep oct nov dec", 6: "sun mon tue wed thu fri sat"}


def random_firings(draw: random.Random, count: int) -> Iterator[Firing]:
    """Valid specs, half of them queried within eight days around a clock change."""
    jumps = [(zone, at(jump)) for zone, all_ in JUMPS.items() for jump in all_]
    for _ in range(count):
        zone, start = draw.choice(jumps)
        start += draw.randint(-7 * 86400, 86400) if draw.random() < 0.5 else draw.randint(-(10**9), 0)
        yield Firing(random_spec(draw), zone, start + draw.choice((0, 0.25, 0.5)), 4)


def random_spec(draw: random.Random) -> str:
    return " ".join(
        ",".join(_part(draw, low, high) for _ in range(draw.choice((1, 1, 2, 3))))
        if draw.random() < share
        else draw.choice("*?")
        for low, high, share in _FIELDS
    )


def garbled(draw: random.Random) -> str:
    """A spec with some random characters; most are invalid."""
    spec = list(
        draw.choice((random_spec(draw), f"TZ=Asia/Tokyo {random_spec(draw)}", "@every 1h2.5m", "@daily"))
    )
    for _ in range(draw.choice((1, 1, 2, 3))):
        place = draw.randrange(len(spec))
        spec[place : place + draw.randint(0, 1)] = draw.choice(
            ["*", "?", "/", "-", ",", "+", " ", "0", "7", "@", ""]
        )
    return "".join(spec)


def _part(draw: random.Random, low: int, high: int) -> str:
    def number() -> str:
        value = draw.randint(low, high)
        names = _NAMES.get(high, "").split()
        return names[value - low] if names and draw.random() < 0.3 else str(value)

    kind = draw.random()
    if kind < 0.4:
        part = number()
    elif kind < 0.6:
        first, last = sorted(draw.randint(low, high) for _ in range(2))
        part = f"{first}-{last}"
    else:
        part = draw.choice("*?")
    return f"{part}/{draw.randint(1, high + 2)}" if draw.random() < 0.4 else part


# --- writing the table --------------------------------------------------------------------------------------


async def _write() -> None:
    peer = programs(lambda text: print(text, file=sys.stderr, flush=True)).peer
    async with GoCron(peer) as go:
        asked = list(firings())
        answers = await go.fire(asked)
        specs = [spec.removeprefix("@every ") for spec in lines(DESCRIPTORS) if spec.startswith("@every ")]
        texts = list(dict.fromkeys(lines(DURATIONS) + specs))
        printed = await go.durations(texts)
    rows = [Row(question, answer) for question, answer in zip(asked, answers, strict=True)]
    CRON_TABLE.write_text("[\n" + ",\n".join(_json(row) for row in rows) + "\n]\n")
    pairs = [f"{_json(text)}:{_json(answer)}" for text, answer in zip(texts, printed, strict=True)]
    DURATION_TABLE.write_text("{\n" + ",\n".join(pairs) + "\n}\n")
    refused = sum(bool(row.go.error) for row in rows)
    print(f"{len(rows)} rows, {refused} of them refused; {len(pairs)} durations")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    asyncio.run(_write())
