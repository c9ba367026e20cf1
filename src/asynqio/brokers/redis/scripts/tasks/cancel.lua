-- Tell every server to stop a task, with its queue for ours and as Go expects it for Go's (spec 3.10; corrects B18).
--
-- ARGV  1 our channel · 2 Go's channel · then per task: what we say, id
-- Our message comes first: whoever reads both knows that the one after it says the same again.
-- Cost  O(tasks · subscribers)
for at = 3, #ARGV, 2 do
  redis.call('PUBLISH', ARGV[1], ARGV[at])
  redis.call('PUBLISH', ARGV[2], ARGV[at + 1])
end
