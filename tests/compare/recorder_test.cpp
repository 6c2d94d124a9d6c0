#include "weir/compare/detail/recorder.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <filesystem>
#include <memory>

using namespace weir;
using recording::conversation;
using recording::recorder;

namespace {

struct folder {
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-recorder-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file() const { return path + "/recording"; }
  std::string path;
};

std::uint64_t lost(const observe::block& counts) {
  return counts.counted[observe::figure::record_lost].read();
}

}  // namespace

TEST_CASE("a recorder writes what its taps are told, for its owner alone") {
  const folder in;
  const auto counts = std::make_unique<observe::block>();
  {
    record_settings s;
    s.answers = true;
    recorder to(s, in.file(), {&counts->counted, &counts->measured});
    auto tap = to.tap({}, false);
    REQUIRE(tap);
    tap->has_received("Cookie: a\r\n", 11);
    tap->has_sent("answer", 6);
    tap->input_has_ended(false);
    tap->input_has_ended(false);
    CHECK_FALSE(to.tap({}, true));  // over TLS: not asked for twice
  }
  struct stat now{};
  REQUIRE(::stat(in.file().c_str(), &now) == 0);
  CHECK((now.st_mode & 0777) == 0600);
  const auto all = recording::read(in.file());
  CHECK(all.problems.empty());
  CHECK(all.redacted);
  REQUIRE(all.conversations.size() == 1);
  REQUIRE(all.conversations[0].pieces.size() == 2);
  CHECK(all.conversations[0].pieces[0].bytes == "Cookie:xx\r\n");
  CHECK(all.conversations[0].pieces[1].bytes == "answer");
  CHECK(all.conversations[0].ended == conversation::ending::by_client);
  CHECK(lost(*counts) == 0);
  CHECK(counts->counted[observe::figure::recorded_bytes].read() == static_cast<std::uint64_t>(now.st_size));
}

TEST_CASE(
    "a second recorder goes on behind the first, and answers and a share of the connections are left out") {
  const folder in;
  const auto counts = std::make_unique<observe::block>();
  for (int n = 0; n < 2; ++n) {
    record_settings s;
    s.share = 25;
    s.tls_plaintext = true;
    recorder to(s, in.file(), {&counts->counted, &counts->measured});
    int taken = 0;
    for (int i = 0; i < 40; ++i)
      if (const auto tap = to.tap({}, i % 2 == 0)) {
        ++taken;
        tap->has_sent("answer", 6);
      }
    CHECK(taken == 10);
  }
  const auto all = recording::read(in.file());
  CHECK(all.conversations.size() == 20);
  CHECK(all.problems.empty());
  for (const auto& each : all.conversations) CHECK(each.pieces.empty());
}

TEST_CASE("a recording ends at its size, and each connection has no gap") {
  const folder in;
  const auto counts = std::make_unique<observe::block>();
  const std::string piece(10'000, 'x');
  std::uint64_t told = 0;
  {
    record_settings s;
    s.size = 1024 * 1024;
    recorder to(s, in.file(), {&counts->counted, &counts->measured});
    for (int i = 0; i < 100; ++i) {
      auto tap = to.tap({}, false);
      if (tap == nullptr) break;
      for (int k = 0; k < 100; ++k) tap->has_received(piece.data(), piece.size());
      told += 100;
    }
  }
  CHECK(std::filesystem::file_size(in.file()) <= 1024 * 1024);
  const auto all = recording::read(in.file());
  std::uint64_t kept = 0;
  for (const auto& each : all.conversations) {
    kept += each.pieces.size();
    for (const auto& p : each.pieces) CHECK(p.bytes == piece);
  }
  CHECK(kept < told);
}

TEST_CASE("what is no regular file is refused") {
  const auto counts = std::make_unique<observe::block>();
  CHECK_THROWS_WITH(recorder({}, "/dev/null", {&counts->counted, &counts->measured}),
                    Catch::Matchers::Contains("no regular file"));
  CHECK_THROWS_WITH(recorder({}, "/nowhere/recording", {&counts->counted, &counts->measured}),
                    Catch::Matchers::Contains("/nowhere/recording"));
}
