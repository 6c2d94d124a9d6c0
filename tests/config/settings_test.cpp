#include "weir/config/settings.hpp"

#include <catch2/catch.hpp>

using namespace weir;

TEST_CASE("the defaults listen on loopback only") {
  CHECK(settings().listen == std::vector<std::string>{"127.0.0.1:7000"});
  CHECK(settings().socket.unix_mode == 0600);
}
