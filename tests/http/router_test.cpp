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

TEST_CASE("a part of a path may be a parameter") {
  router routes;
  routes.get("/users/{id}", plain);
  routes.add("P", "/users/{id}/posts/{post}", plain);
  routes.add("REST", "/files/{volume}/*", plain);
  std::string allow;
  const router::route* const user = routes.find("GET", "/users/42", allow);
  REQUIRE(user != nullptr);
  CHECK(router::parameter(user->pattern, "/users/42", "id") == "42");
  CHECK_FALSE(router::parameter(user->pattern, "/users/42", "name"));
  const router::route* const post = routes.find("P", "/users/a%20b/posts/7", allow);
  REQUIRE(post != nullptr);
  CHECK(router::parameter(post->pattern, "/users/a%20b/posts/7", "id") == "a%20b");
  CHECK(router::parameter(post->pattern, "/users/a%20b/posts/7", "post") == "7");
  CHECK(routes.find("REST", "/files/c/a/b", allow) != nullptr);
  for (const char* none :
       {"/users/", "/users", "/users/1/", "/users/1/posts", "/users/1/posts/", "/users//posts/1", "/files/c"})
    CHECK(routes.find("GET", none, allow) == nullptr);
}

TEST_CASE("a word wins over a parameter, and a parameter over the rest") {
  router routes;
  routes.add("REST", "/a/*", plain);
  routes.add("PAGE", "/{page}", plain);
  routes.add("ANY", "/{x}/{y}", plain);
  routes.add("ID", "/a/{id}", plain);
  routes.add("NEW", "/a/new", plain);
  routes.add("LAST", "/a/{id}/last", plain);
  std::string allow;
  for (const auto& [method, path] :
       {std::pair("NEW", "/a/new"), std::pair("ID", "/a/1"), std::pair("REST", "/a/1/2"),
        std::pair("LAST", "/a/1/last"), std::pair("ANY", "/b/1"), std::pair("PAGE", "/b")}) {
    INFO(path);
    CHECK(routes.find(method, path, allow) != nullptr);
  }
}

TEST_CASE("a parameter is a whole part with a name of its own") {
  router routes;
  for (const char* bad : {"/{}", "/a{b}", "/{a}b", "/{a", "/a}", "/{a}/{a}", "/{a{b}}"})
    CHECK_THROWS_AS(routes.get(bad, plain), std::invalid_argument);
}

TEST_CASE("every one of many exact paths is found, and nothing else") {
  router routes;
  std::vector<std::string> paths{"/", "/a", "/ab", "/abc", "/abcd", "/abcdefg", "/abcdefgh"};
  for (int i = 0; i < 500; ++i) paths.push_back("/the same at both/" + std::to_string(i) + "/of their ends");
  for (const std::string& path : paths) routes.add("M" + path, path, plain);
  std::string allow;
  for (const std::string& path : paths) CHECK(routes.find("M" + path, path, allow) != nullptr);
  for (const char* none : {"", "/b", "/abcde", "/the same at both/500/of their ends", "/abcdefghi"})
    CHECK(routes.find("GET", none, allow) == nullptr);
  CHECK(router().find("GET", "/", allow) == nullptr);
}
