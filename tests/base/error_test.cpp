#include "weir/base/error.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

TEST_CASE("an error of weir names itself") {
  std::error_code code = weir::errc::truncated;
  CHECK(code.category().name() == std::string("weir"));
  CHECK(code.message() == "the stream ended inside a message");
}

TEST_CASE("a failed system call names its object") {
  try {
    weir::throw_system_error(EADDRINUSE, "bind 127.0.0.1:7000");
    FAIL("did not throw");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::address_in_use);
    CHECK(std::string(e.what()).find("bind 127.0.0.1:7000") == 0);
  }
}
