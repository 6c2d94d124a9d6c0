#include "flags.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>
#include <weir/config/config_error.hpp>

using namespace cache;

namespace {

using words = std::vector<std::string>;

flags read(const words& from) { return read_flags(from, {0, 1}); }

words errors_of(const words& from) {
  try {
    read(from);
  } catch (const weir::config_error& e) {
    return {e.messages().begin(), e.messages().end()};
  }
  return {};
}

}  // namespace

TEST_CASE("without flags nothing is said to weir") {
  const flags f = read({});
  CHECK(f.rest.empty());
  CHECK(f.service.store.memory == 64 << 20);
  CHECK(f.service.store.item_limit == 1 << 20);
  CHECK(f.service.store.evicts);
  CHECK_FALSE(f.allows_shutdown);
}

TEST_CASE("memcached's flags become settings") {
  CHECK(read({"-p", "1234"}).rest == words{"--listen", "127.0.0.1:1234"});
  CHECK(read({"-p1234", "-l", "0.0.0.0"}).rest == words{"--listen", "0.0.0.0:1234"});
  CHECK(read({"-l", "127.0.0.1:5,::1,[::1]:6", "-p", "7"}).rest ==
        words{"--listen", "127.0.0.1:5", "--listen", "[::1]:7", "--listen", "[::1]:6"});
  CHECK(read({"-s", "/run/c.sock", "-a", "0700", "-p", "1"}).rest ==
        words{"--set", "socket.unix_mode=0700", "--listen", "unix:/run/c.sock"});
  CHECK(read({"-c", "50"}).rest == words{"--set", "limits.connections=50"});
  CHECK(read({"-t", "2"}).rest == words{"--cores", "0,1"});
  CHECK(read({"-t", "4"}).rest == words{"--cores", "0,1"});  // no more than CPUs
  CHECK(read({"-f", "1.25", "-n48", "-R", "20", "-B", "ascii"}).rest.empty());
  CHECK(read({"-o", "idle_timeout=9"}).rest == words{"--set", "limits.idle_timeout=9s"});
  CHECK(read({"-U", "0"}).rest.empty());
  CHECK(read({"-m", "8"}).service.store.memory == 8 << 20);
  CHECK(read({"-I", "2m"}).service.store.item_limit == 2 << 20);
  CHECK(read({"-I", "8k"}).service.store.item_limit == 8 << 10);
  const flags f = read({"-FAC", "-Mv"});
  CHECK_FALSE(f.service.allows_flush);
  CHECK(f.allows_shutdown);
  CHECK_FALSE(f.service.has_versions);
  CHECK_FALSE(f.service.store.evicts);
  CHECK(f.rest == words{"--set", "log.level=debug"});
}

TEST_CASE("weir's own flags are passed on, with their values") {
  CHECK(read({"--listen", "127.0.0.1:1", "--plan", "-F"}).rest == words{"--listen", "127.0.0.1:1", "--plan"});
  CHECK(read({"-h"}).rest == words{"-h"});
  CHECK(read({"-z", "stray"}).rest == words{"-z", "stray"});  // weir refuses them
}

TEST_CASE("every mistake is named") {
  CHECK(errors_of({"-p", "x", "-m", "0", "-t", "0", "-I", "2g", "-U", "1", "-o", "modern", "-Fz", "-c"}) ==
        words{"-p x: a number from 0 to 65535", "-m 0: a number from 1 to 4294967295",
              "-t 0: a number from 1 to 65535", "-I 2g: a number from 1024 to 1073741824",
              "-U 1: there is no UDP here, only 0", "-o modern: only idle_timeout=SECONDS is known",
              "-z: unknown option; see --help", "-c: its value is missing; see --help"});
}

TEST_CASE("flags of memcached that mean something else here are refused with the reason") {
  const words said = errors_of({"-d", "-P", "file", "-kr", "-B", "binary", "-e", "file"});
  REQUIRE(said.size() == 6);
  for (const std::string& each : said) CHECK(each.find(": ") == 2 + (each.starts_with("-B") ? 7 : 0));
}
