#include "weir/base/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
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

TEST_CASE("lines to systemd's journal begin with their priority, and others do not") {
  const auto with = captured([] {
    struct stat file{};
    REQUIRE(::fstat(2, &file) == 0);
    ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", file.st_dev, file.st_ino).c_str(), 1);
    log::error("bad");
    log::warning("odd");
    log::info("plain");
  });
  const auto elsewhere = captured([] { log::info("plain"); });
  ::unsetenv("JOURNAL_STREAM");
  CHECK(with.find("<3>") == 0);
  CHECK(with.find("\n<4>") != std::string::npos);
  CHECK(with.find("\n<6>") != std::string::npos);
  CHECK(elsewhere.find('<') == std::string::npos);
}

TEST_CASE("a program's own sink gets each line instead of standard error") {
  std::string lines;
  const auto text = captured([&] {
    log::to_sink([&lines](log::level l, std::string_view line) {
      lines += fmt::format("{} {}|", static_cast<int>(l), line);
    });
    log::warning("one\n");
    log::debug("not shown");
    log::to_sink([](log::level, std::string_view) { throw 1; });
    const auto before = log::lost_lines();
    log::error("two");
    CHECK(log::lost_lines() == before + 1);
    log::to_sink({});
  });
  CHECK(lines == "2 one\\x0a|");
  CHECK(text.empty());
}

TEST_CASE("lines below the level are dropped") {
  const auto text = captured([] { log::debug("not shown"); });
  CHECK(text.empty());
}

TEST_CASE("where nobody reads, lines are dropped, and counted in the next one that is written") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const unique_fd out(ends[0]);
  unique_fd in(ends[1]);
  const auto read_all = [&] {
    std::string text;
    std::array<char, 4096> part;
    ::fcntl(out.get(), F_SETFL, O_NONBLOCK);
    for (ssize_t n = 0; (n = ::read(out.get(), part.data(), part.size())) > 0;)
      text.append(part.data(), static_cast<std::size_t>(n));
    return text;
  };
  const unique_fd saved(::dup(2));
  ::dup2(in.get(), 2);
  const int flags = ::fcntl(2, F_GETFL);
  const std::uint64_t lost = log::lost_lines();
  constexpr std::uint64_t lines = 2000;
  for (std::uint64_t i = 0; i < lines; ++i) log::info("line {} {}", i, std::string(100, 'x'));
  const std::uint64_t dropped = log::lost_lines() - lost;
  std::string text = read_all();
  log::info("the last one");
  text += read_all();
  const bool shared_flags_are_as_before = ::fcntl(2, F_GETFL) == flags;
  ::dup2(saved.get(), 2);
  CHECK(shared_flags_are_as_before);
  CHECK(dropped > 0);
  CHECK(static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')) == lines - dropped + 2);
  CHECK(text.find(fmt::format("{} lines were dropped because nobody reads standard error\n", dropped)) !=
        std::string::npos);
  CHECK(text.find("the last one\n") != std::string::npos);
}

TEST_CASE("a full disk drops lines and says so") {
  const unique_fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const std::uint64_t lost = log::lost_lines();
  const auto text = captured([&] {
    const unique_fd saved(::dup(2));
    ::dup2(full.get(), 2);
    log::info("nobody sees it");
    ::dup2(saved.get(), 2);
    log::info("this is seen");
  });
  CHECK(log::lost_lines() - lost == 1);
  CHECK(text.find("1 lines were dropped because No space left on device") != std::string::npos);
}

TEST_CASE("a line is no longer than what the kernel writes to a pipe at once") {
  const auto text = captured([] { log::info("{}", std::string(10000, 'x')); });
  CHECK(text.size() == 4096);
  CHECK(text.back() == '\n');
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
