#include "weir/connection/write_buffer.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <optional>
#include <string>

#include "weir/core/core.hpp"

using weir::write_buffer;

TEST_CASE("a buffer without a core gathers what is written, beyond its first memory") {
  write_buffer out;
  CHECK(out.text().empty());
  std::string expected;
  for (int i = 0; i < 2000; ++i) {
    out.write(std::to_string(i));
    expected += std::to_string(i);
  }
  CHECK(out.text() == expected);
  out.clear();
  CHECK(out.pending() == 0);
}

TEST_CASE("of what is reserved only what is committed counts") {
  weir::settings s;
  s.loop.chunk_size = 512;
  weir::core home(0, std::nullopt, s);
  weir::io::descriptor on;
  on.driver = &home.driver();
  {
    write_buffer out(&on);
    for (int i = 0; i < 20; ++i) {
      char* const at = out.reserve(480);
      std::memcpy(at, "abc", 3);
      out.commit(at + 3);
    }
    CHECK(out.pending() == 60);
    CHECK(out.text().substr(54) == "abcabc");
    out.commit(out.reserve(1000));
    CHECK(out.pending() == 60);
  }
  if (weir::build::pools) CHECK(home.chunks().kept() == 1);
}

TEST_CASE("memory comes from the core on which the connection is by then") {
  weir::core first(0, std::nullopt, {});
  weir::core second(1, std::nullopt, {});
  weir::io::descriptor on;
  on.driver = &first.driver();
  write_buffer out(&on);
  on.driver = &second.driver();
  out.write("reply");
  out.clear();
  CHECK(first.chunks().kept() == 0);
  if (weir::build::pools) CHECK(second.chunks().kept() == 1);
}

TEST_CASE("a truncated buffer goes on where it was cut") {
  write_buffer out;
  out.write("kept, dropped");
  out.truncate(4);
  out.write("!");
  CHECK(out.text() == "kept!");
  out.truncate(0);
  CHECK(out.text().empty());
  out.write("anew");
  CHECK(out.text() == "anew");
}
