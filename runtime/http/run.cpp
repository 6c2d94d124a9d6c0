#include "weir/http/run.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

#include "weir/server/detail/log_file.hpp"
#include "weir/server/run.hpp"

namespace weir::http {

namespace {

void add_keys(limits& l, std::vector<key>& to) {
  using namespace std::chrono_literals;
  constexpr std::int64_t kib = 1024;
  constexpr std::int64_t most_body = kib * kib * kib * kib;
  to.push_back(
      key::size("http.head", l.head, 256, limits::most_head, "bytes of a request line and all headers"));
  to.emplace_back("http.headers", l.headers, 1, limits::most_headers, "headers", "headers of a request");
  to.push_back(key::size("http.body", l.body, 0, most_body, "bytes of a request's body"));
  // With names: GCC 12 warns falsely of the names' memory where a vector makes these in place.
  key head_time("http.head_timeout", l.head_timeout, 1ms, 24h, "from the first byte of a head to its last");
  to.push_back(std::move(head_time));
  key body_time("http.body_timeout", l.body_timeout, 1ms, 24h,
                "refuse a body of which no byte comes for so long");
  to.push_back(std::move(body_time));
  to.push_back(key::size("http.body_rate", l.body_rate, 0, kib * kib * kib,
                         "refuse a body that comes slower, in bytes per second on average; 0: at any rate"));
  key body_grace("http.body_grace", l.body_grace, 0ms, 24h, "time that a body has before its rate counts");
  to.push_back(std::move(body_grace));
  key linger_time("http.linger_timeout", l.linger_timeout, 0ms, 24h,
                  "how long what a client still sends after the last answer is read");
  to.push_back(std::move(linger_time));
  to.push_back(key::size("http.unread", l.unread, 0, most_body,
                         "bytes of a body that no handler wants, read to keep the connection"));
}

// Those of the access log.
struct log_keys {
  std::string file;
  std::string format = "combined";
  std::uint32_t sample = 1;

  [[nodiscard]] std::shared_ptr<access_log> open() const {
    return std::make_shared<access_log>(
        access_log::options{.file = file,
                            .format = format == "json" ? access_format::json : access_format::combined,
                            .sample = sample});
  }
};

std::string why_no_path(const std::string& path) {
  return path.empty() || path.front() == '/' ? std::string()
                                             : fmt::format("\"{}\" is no absolute path", path);
}

std::string why_no_log(const std::string& path) {
  const std::string why = path.empty() ? std::string() : why_not_writable(path);
  return why.empty() ? why : fmt::format("\"{}\" cannot be written: {}", path, why);
}

std::string why_no_format(const std::string& name) {
  return name == "combined" || name == "json"
             ? std::string()
             : fmt::format("\"{}\" is no format; allowed: \"combined\", \"json\"", name);
}

void add_keys(log_keys& l, request_id_rules& ids, std::vector<key>& to) {
  to.push_back(key("http.access_log", l.file,
                   "absolute path of a file to which a line is written for each request; empty: none")
                   .checked_by(why_no_path)
                   .checked_at_start_by(why_no_log));
  to.push_back(key("http.access_format", l.format, "how a line is written: combined, as by nginx, or json")
                   .checked_by(why_no_format));
  to.emplace_back("http.access_sample", l.sample, 1, 1'000'000, "requests",
                  "one of so many has a line; those with a status of 400 or more always");
  // With names, as above.
  key taken("http.request_id_from_client", ids.from_client,
            "take the id of a request from its X-Request-Id, if it has one");
  to.push_back(std::move(taken));
  key told("http.request_id_in_answer", ids.in_answer, "tell clients the id of a request as X-Request-Id");
  to.push_back(std::move(told));
}

}  // namespace

int run(int argc, char** argv, site what, program about) {
  const auto kept = std::make_shared<site>(std::move(what));  // the keys change it before it serves
  log_keys logs;
  add_keys(kept->limits, about.keys);
  add_keys(logs, kept->request_ids, about.keys);
  about.prepare = [&logs, kept, own = kept->log, then = std::move(about.prepare)] {
    kept->log = logs.file.empty() ? own : logs.open();
    if (then) then();
  };
  const auto on_each = [kept](connection client) { return serve(std::move(client), kept); };
  return weir::run(argc, argv, connection_handler(on_each), about);
}

}  // namespace weir::http
