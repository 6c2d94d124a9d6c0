#pragma once
// http: a line for each request.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "weir/http/request.hpp"
#include "weir/listen/peer_address.hpp"

namespace weir {
class core;
}
namespace weir::log {
class line_file;
}

namespace weir::http {

// combined: as of nginx and Apache. json: an object, with what combined has, and "id", "port", "duration" in
// seconds.
enum class access_format : std::uint8_t { combined, json };

// A request that has had its answer.
struct access_entry {
  const http::request& request;  // empty if it could not be read
  std::string_view first_line;   // in its place: what had come of it
  peer_address peer;
  int status;           // 0: there was no answer
  std::uint64_t bytes;  // of the answer's body
  std::chrono::nanoseconds duration;
  std::string_view id;
};

// Problem: a log of requests must cost a fraction of a request, and never wait for a disk. The line is put
// together in memory of the core, and a thread of its own writes what has come (50 ms later at most; whole
// lines, many with one call). At a stop, all lines are written before the process ends. A process that is
// killed loses the last 50 ms. SIGUSR1 opens the file again, as log.file. A full disk, or one that is slower
// than the requests, loses lines once 4 MB of a core wait: they are counted at /metrics and told in the log.
//
//   site.log = std::make_shared<weir::http::access_log>(weir::http::access_log::options{.file =
//   "/var/log/a"});
//
// http::run makes it from http.access_log, http.access_format and http.access_sample.
// Thread: any. Fork: made before it; each process has a thread of its own.
class access_log {
 public:
  struct options {
    std::string file;
    access_format format = access_format::combined;
    std::uint32_t sample = 1;  // one of so many requests has a line; those with a status from 400 on always
  };

  // Errors: std::system_error that names the file.
  explicit access_log(const options& o);
  access_log(const access_log&) = delete;
  access_log& operator=(const access_log&) = delete;
  ~access_log();

  [[nodiscard]] access_format format() const noexcept { return format_; }

  void write(const access_entry& e) noexcept;

 private:
  access_format format_;
  std::uint32_t sample_;
  std::unique_ptr<log::line_file> file_;
};

}  // namespace weir::http
