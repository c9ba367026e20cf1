-- Ask every server to stop a task: with its queue on our channel, as a bare id on Go's (corrects B18).
--
-- ARGV  1 our channel · 2 Go's channel · then per task: our message, id
-- Our message comes first: a subscriber to both channels skips the repetition on Go's channel.
-- Cost  O(tasks · subscribers)
for at = 3, #ARGV, 2 do
  redis.call('PUBLISH', ARGV[1], ARGV[at])
  redis.call('PUBLISH', ARGV[2], ARGV[at + 1])
end
