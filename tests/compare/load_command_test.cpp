#include "weir/compare/detail/load_command.hpp"

#include <catch2/catch.hpp>

using namespace weir::compare;
using namespace std::chrono_literals;

TEST_CASE("a load command is told where the server is and how long it has") {
  CHECK(command_for("a {host}:{port} {address} -d{seconds}s {other}", 7000, 1600ms) ==
        "a 127.0.0.1:7000 127.0.0.1:7000 -d2s {other}");
  CHECK(command_for("{seconds}", 1, 100ms) == "1");
  CHECK(names_server("wrk http://{address}/"));
  CHECK(names_server("nc {host} {port}"));
  CHECK_FALSE(names_server("nc {host} 7000"));
  CHECK(names_time("-d{seconds}"));
  CHECK_FALSE(names_time("-d2"));
}

TEST_CASE("a server is still while clients wait and it does nothing") {
  stillness still;
  const auto began = stillness::clock::now() + 1h;
  CHECK(still.look(began, 5, 1) == 0s);
  CHECK(still.look(began + 2s, 5, 1) == 2s);
  CHECK(still.look(began + 3s, 6, 1) == 0s);  // it has moved
  CHECK(still.look(began + 9s, 6, 3) == 6s);
  CHECK(still.look(began + 10s, 6, 0) == 0s);  // nobody waits
  CHECK(still.look(began + 11s, 6, 1) == 1s);
}
