#include "weir/accept/detail/delivery.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "output.hpp"

using namespace weir;

TEST_CASE("a hand-over that throws gives the permit back, and the log tells of it once a second") {
  permit_pool permits(10);
  delivery failing([](accepted_socket s) {
    const accepted_socket gone = std::move(s);
    throw std::runtime_error("as told");
  });
  const test::output log(2);
  for (int i = 0; i < 3; ++i) failing({unique_fd(), peer_address(), permits.try_acquire()});
  CHECK(failing.dropped() == 3);
  CHECK(permits.in_use() == 0);
  const auto text = log.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK_THAT(text, Catch::Contains("dropped: as told"));
}
