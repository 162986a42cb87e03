-- A script for wrk: compares every answer with the body in the first argument.
-- With a second argument, every request has a query of its own that begins with it.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  expected, wrong = arguments[1], 0
  local unique, number = arguments[2], 0
  if unique ~= "" then
    local path = wrk.path
    function request()
      number = number + 1
      return wrk.format(nil, path .. "?n=" .. unique .. "-" .. number)
    end
  end
end

function response(status, _, body)
  if status ~= 200 or body ~= expected then
    wrong = wrong + 1
  end
end

function done(summary)
  local wrong_answers, errors = 0, summary.errors
  for _, thread in ipairs(threads) do
    wrong_answers = wrong_answers + thread:get("wrong")
  end
  io.write(string.format(
    "measured %d answers, %d wrong, %d errors, %d microseconds\n",
    summary.requests, wrong_answers, errors.connect + errors.read + errors.write + errors.timeout, summary.duration))
end
