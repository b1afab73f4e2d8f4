-- Prints what wrk counted as one line of JSON, the last of its output.
function done(summary, latency, requests)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{"jobs":%d,"bytes":%d,"seconds":%.6f,"failures":%d}\n',
    summary.requests, summary.bytes, summary.duration / 1e6, failures))
end
