#include "weir/connection/write_buffer.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <string>

using weir::write_buffer;

TEST_CASE("a buffer without a pool gathers what is written, beyond its first memory") {
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
  weir::io::chunk_pool pool(64, 4);
  {
    write_buffer out(&pool);
    for (int i = 0; i < 20; ++i) {
      char* const at = out.reserve(60);
      std::memcpy(at, "abc", 3);
      out.commit(at + 3);
    }
    CHECK(out.pending() == 60);
    CHECK(out.text().substr(54) == "abcabc");
    out.commit(out.reserve(100));
    CHECK(out.pending() == 60);
  }
  if (weir::build::pools) CHECK(pool.kept() == 1);
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
