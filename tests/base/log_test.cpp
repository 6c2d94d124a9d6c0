#include "weir/base/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>

#include "weir/base/unique_fd.hpp"

using namespace weir;

namespace {

// What is written to standard error while `act` runs.
template <class Act>
std::string captured(Act act) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  unique_fd out(ends[0]);
  unique_fd in(ends[1]);
  unique_fd saved(::dup(2));
  ::dup2(in.get(), 2);
  in.reset();
  act();
  ::dup2(saved.get(), 2);
  std::string text(65536, '\0');
  const auto n = ::read(out.get(), text.data(), text.size());
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

}  // namespace

TEST_CASE("a line carries its level and text, and control characters are escaped") {
  const auto text = captured([] { log::warning("peer sent {}", "a\r\nforged \x1b[31m"); });
  CHECK(text.find("warning") != std::string::npos);
  CHECK(text.find("peer sent a\\x0d\\x0aforged \\x1b[31m") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE("lines below the level are dropped") {
  const auto text = captured([] { log::debug("not shown"); });
  CHECK(text.empty());
}

TEST_CASE("a limiter passes the first event, holds back the rest and counts them") {
  log::limiter limit(std::chrono::hours(1));
  CHECK(limit.pass() == 0u);
  CHECK_FALSE(limit.pass());
  CHECK_FALSE(limit.pass());

  log::limiter once(std::chrono::hours::max());
  CHECK(once.pass() == 0u);
  CHECK_FALSE(once.pass());

  log::limiter open(std::chrono::milliseconds(0));
  CHECK(open.pass() == 0u);
  CHECK(open.pass() == 0u);
}
