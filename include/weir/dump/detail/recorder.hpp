#pragma once
// dump: what the loops of a server have done lately, from their recorders.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "weir/core/core_pool.hpp"
#include "weir/core/detail/stall_detector.hpp"

namespace weir::dump {

// The last turns of each loop of a process, and of those below it that run the same program, as text in the
// trace event format of Chrome, which Perfetto opens: a track for each loop, and one for its slow requests.
// Read like a dump: the process is neither asked nor stopped, and may be this one. Cost: some milliseconds
// for each loop. Thread: any. Errors: as of text_of(); std::system_error with errc::no_message if no loop of
// them has a recorder.
[[nodiscard]] std::string trace_of(::pid_t process);
// Of that process alone.
[[nodiscard]] std::string trace_of_one(::pid_t process);

// What stall_detector is to call: reports the stall to the log with the functions, and their source lines,
// from the program's own symbols. Thread: the detector's. Errors: std::bad_alloc.
[[nodiscard]] std::function<void(const stall&)> stall_reporter();

// Reports to the log, in words, each request that has taken longer than observe.slow. Names and lines come
// from the program's own symbols, so it has a thread, and a second one that looks where a turn is that lasts.
// Thread: made and destroyed while the cores do not end. Errors: std::system_error without a thread.
class slow_reporter {
 public:
  // `workers`: the cores of threads that handlers migrate to: those that there were before, and then others.
  // Called on the threads of this.
  slow_reporter(core_pool& loops, std::function<std::vector<core*>()> workers,
                std::chrono::milliseconds slow);
  slow_reporter(const slow_reporter&) = delete;
  slow_reporter& operator=(const slow_reporter&) = delete;
  ~slow_reporter();

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace weir::dump
