#include "weir/core/detail/standing_post.hpp"

#include <catch2/catch.hpp>
#include <thread>

#include "weir/core/test_core.hpp"

using namespace weir;

TEST_CASE("a standing post runs on its core, once for all requests before it has begun") {
  test_core here;
  int runs = 0;
  standing_post post(*here, [&] { ++runs; });
  std::jthread([&] {
    post.post();
    post.post();
  }).join();
  CHECK(runs == 0);
  here.settle();
  CHECK(runs == 1);
  post.post();
  here.settle();
  CHECK(runs == 2);
}

TEST_CASE("a request from within a standing post is another one") {
  test_core here;
  int runs = 0;
  standing_post* again = nullptr;
  standing_post post(*here, [&] {
    if (++runs < 3) again->post();
  });
  again = &post;
  post.post();
  here.settle();
  CHECK(runs == 3);
}

TEST_CASE("a standing post that is pending when it goes is not run") {
  test_core here;
  bool ran = false;
  {
    standing_post post(*here, [&] { ran = true; });
    post.post();
  }
  here.settle();
  CHECK(!ran);
}
