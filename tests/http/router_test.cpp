#include "weir/http/router.hpp"

#include <catch2/catch.hpp>

using namespace weir::http;

namespace {

void plain(exchange) {}
weir::task<> waits(exchange) { co_return; }

}  // namespace

TEST_CASE("a whole path is found before a longer pattern before a shorter one") {
  router routes;
  routes.get("/*", plain);
  routes.add("A", "/a/*", plain);
  routes.add("B", "/a/b/*", plain);
  routes.add("C", "/a/b/c", plain);
  std::string allow;
  CHECK(routes.find("C", "/a/b/c", allow)->method == "C");
  CHECK(routes.find("B", "/a/b/d", allow)->method == "B");
  CHECK(routes.find("A", "/a/b", allow)->method == "A");
  CHECK(routes.find("GET", "/z", allow)->method == "GET");
  CHECK(routes.find("GET", "*", allow) == nullptr);
  CHECK(allow.empty());
}

TEST_CASE("a path that has other methods says which") {
  router routes;
  routes.get("/a", plain);
  routes.post("/a", waits);
  std::string allow;
  CHECK(routes.find("PUT", "/a", allow) == nullptr);
  CHECK(allow == "GET, HEAD, POST");
}

TEST_CASE("HEAD is answered by GET, unless it has a handler of its own") {
  router routes;
  routes.get("/a", plain);
  routes.get("/b", plain);
  routes.add("HEAD", "/b", plain);
  std::string allow;
  CHECK(routes.find("HEAD", "/a", allow)->method == "GET");
  CHECK(routes.find("HEAD", "/b", allow)->method == "HEAD");
}

TEST_CASE("a handler is a coroutine or a plain function") {
  router routes;
  routes.any("/plain", plain);
  routes.any("/waits", waits);
  std::string allow;
  CHECK(routes.find("PUT", "/plain", allow)->plain);
  CHECK_FALSE(routes.find("PUT", "/plain", allow)->waits);
  CHECK(routes.find("PUT", "/waits", allow)->waits);
}

TEST_CASE("a pattern that is no path is refused") {
  router routes;
  CHECK_THROWS_AS(routes.get("a", plain), std::invalid_argument);
}
