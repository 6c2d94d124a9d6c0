#include "weir/base/detail/line_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace weir;
using log::line_file;

namespace {

// A folder that goes with the test.
class folder {
 public:
  folder() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() {
    for (const auto& each : used_) ::unlink(each.c_str());
    ::rmdir(path_.data());
  }
  std::string operator/(std::string_view name) {
    return used_.emplace_back(fmt::format("{}/{}", path_.data(), name));
  }

 private:
  std::array<char, 32> path_{"/tmp/weir-lines-XXXXXX"};
  std::vector<std::string> used_;
};

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// False: the line was lost.
bool put(line_file::lines& to, std::string_view text) {
  char* const at = to.begin();
  if (at == nullptr) return false;
  std::memcpy(at, text.data(), text.size());
  at[text.size()] = '\n';
  to.commit(text.size() + 1);
  return true;
}

// What is logged while it lives.
class captured_log {
 public:
  captured_log() {
    log::to_sink([this](log::level, std::string_view text) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(text);
    });
  }
  captured_log(const captured_log&) = delete;
  captured_log& operator=(const captured_log&) = delete;
  ~captured_log() { log::to_sink({}); }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace

TEST_CASE("lines of several threads come to the file whole and once, while it is renamed and opened again") {
  folder in;
  const std::string path = in / "log";
  constexpr int threads = 4;
  constexpr int each = 20000;
  std::vector<std::string> files{path};
  {
    line_file file(path);
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&, t] {
        const auto own = file.add();
        for (int i = 0; i < each; ++i) {
          const std::string text =
              fmt::format("{} {} {}", t, i, std::string(static_cast<std::size_t>(i % 90), 'x'));
          // More than memory holds: then this thread waits, as no loop would.
          while (!put(*own, text)) std::this_thread::yield();
        }
        own->retire();
      });
    for (int i = 0; i < 20; ++i) {
      files.push_back(in / fmt::format("log.{}", i));
      ::rename(path.c_str(), files.back().c_str());
      file.reopen(0, 0);
      std::this_thread::yield();
    }
    for (auto& t : all) t.join();
  }
  std::map<int, std::vector<int>> found;
  for (const auto& name : files)
    for (const auto& line : lines_of(name)) {
      std::istringstream words(line);
      int t = -1;
      int i = -1;
      std::string rest;
      words >> t >> i >> rest;
      REQUIRE(rest == std::string(static_cast<std::size_t>(i % 90), 'x'));
      found[t].push_back(i);
    }
  for (int t = 0; t < threads; ++t) {
    std::sort(found[t].begin(), found[t].end());
    REQUIRE(found[t].size() == each);
    CHECK(found[t].front() == 0);
    CHECK(found[t].back() == each - 1);
  }
}

TEST_CASE("a line is in the file a moment after it was made, without a flush") {
  folder in;
  const std::string path = in / "log";
  line_file file(path);
  const auto own = file.add();
  for (const int n : {1, 2, 3}) {  // the thread sleeps in between
    put(*own, "a line");
    for (int tries = 0; tries < 2000 && lines_of(path).size() < static_cast<std::size_t>(n); ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    REQUIRE(lines_of(path).size() == static_cast<std::size_t>(n));
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  file.write_shared([](char* to) { return static_cast<char*>(std::memcpy(to, "b\n", 2)) + 2; });
  file.flush();
  CHECK(lines_of(path) == std::vector<std::string>{"a line", "a line", "a line", "b"});
}

TEST_CASE("a file that cannot be opened is an error that names it, and the old one stays in use") {
  folder in;
  CHECK_THROWS_WITH(line_file("/nonexistent/log"), Catch::Matchers::Contains("/nonexistent/log"));
  const std::string path = in / "log";
  line_file file(path);
  const std::string moved = in / "log.1";
  ::rename(path.c_str(), moved.c_str());
  ::mkdir(path.c_str(), 0700);
  CHECK_THROWS_AS(file.reopen(0, 0), std::system_error);
  ::rmdir(path.c_str());
  const auto own = file.add();
  put(*own, "still there");
  file.flush();
  CHECK(lines_of(moved) == std::vector<std::string>{"still there"});
}

TEST_CASE("a full disk loses no line that memory can hold, and a line that was cut is written again") {
  folder in;
  const std::string path = in / "log";
  const captured_log said;
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  const ::rlimit small{1000, before.rlim_max};
  line_file file(path);
  const auto own = file.add();
  ::setrlimit(RLIMIT_FSIZE, &small);
  for (int i = 0; i < 100; ++i) put(*own, fmt::format("line {:025}", i));
  file.flush();
  struct stat what{};
  REQUIRE(::stat(path.c_str(), &what) == 0);
  CHECK(what.st_size == 1000);
  ::setrlimit(RLIMIT_FSIZE, &before);
  static_cast<void>(std::signal(SIGXFSZ, old));
  file.flush();
  const auto all = lines_of(path);
  REQUIRE(all.size() == 101);  // one of them is what was there of line 32
  CHECK(all[31] == fmt::format("line {:025}", 31));
  CHECK(fmt::format("line {:025}", 32).starts_with(all[32]));
  CHECK(all[33] == fmt::format("line {:025}", 32));
  CHECK(all.back() == fmt::format("line {:025}", 99));
}

TEST_CASE("lines beyond what memory holds are counted, and told once a second at most") {
  captured_log said;
  const std::uint64_t lost_before = log::lost_lines_of_files();
  std::uint64_t refused = 0;
  {
    line_file file("/dev/full");
    const auto own = file.add();
    const std::string text(3000, 'x');
    for (int i = 0; i < 2000; ++i) refused += put(*own, text) ? 0U : 1U;
    CHECK(refused > 300);
    file.flush();
  }
  CHECK(log::lost_lines_of_files() - lost_before == 2000);
  const auto lines = said.lines();
  REQUIRE(!lines.empty());
  CHECK(lines.size() <= 5);
  CHECK_THAT(lines.front(), Catch::Matchers::Contains("/dev/full: No space left on device"));
}
